/* SPDX-License-Identifier: MIT */
#include "soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/command.h>
#include <theseus/frames.h>
#include <theseus/log.h>
#include <theseus/mapped.h>
#include <theseus/upcall.h>

#include "../test/leftover.h"

CELL_INFO(.name = "soak", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .unsafe_reason = "faults and overruns stacks on purpose",
	  .summary = "tasks that start, share, fail and are killed, until told to stop",
	  .quiescence = CELL_QUIESCE_ANY);
CELL_STATE(struct soak_state, state);

#define LOGGED 8u
#define STOP_NS (60 * CLOCK_S)

struct soak_state *soak(void)
{
	return &state;
}

void soak_wrong(const char *fmt, ...)
{
	uint32_t n = __atomic_fetch_add(&state.n_wrong, 1, __ATOMIC_RELAXED);
	char text[sizeof(state.wrong)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n == 0)
		memcpy(state.wrong, text, sizeof(text));
	if (n < LOGGED)
		log_write(LOG_ERROR, CELL_SELF, "%s", text);
}

static int64_t drive(uint64_t index)
{
	return driver_round(&state.drivers[index]);
}
CELL_PROVIDE(task_ops, soak_driver) = {.run = drive};

static void print_state(struct command_io *io)
{
	const struct soak_counts *c = &state.counts;
	uint64_t rounds = 0;

	for (unsigned i = 0; i < state.n_drivers; i++)
		rounds += state.drivers[i].rounds;
	command_printf(io,
		       "rounds=%llu spawned=%llu completed=%llu killed=%llu by_ledger=%llu "
		       "faulted=%llu refused=%llu wrong=%u\n",
		       (unsigned long long)rounds, (unsigned long long)c->spawned,
		       (unsigned long long)c->completed, (unsigned long long)c->killed,
		       (unsigned long long)c->by_ledger, (unsigned long long)c->faulted,
		       (unsigned long long)c->refused, state.n_wrong);
	if (state.n_wrong)
		command_printf(io, "%s\n", state.wrong);
}

static int start(struct command_io *io, uint64_t seed, unsigned drivers)
{
	struct task_attr attr = {.name = "soak driver"};
	int r;

	if (state.running) {
		command_printf(io, "it runs already\n");
		return 1;
	}
	memset(&state, 0, sizeof(state));
	r = shared_init(&state.shared);
	for (; r == 0 && state.n_drivers < drivers; state.n_drivers++) {
		struct driver *d = &state.drivers[state.n_drivers];

		d->random = (seed + 1) * 0x9e3779b97f4a7c15ull + state.n_drivers + 1;
		r = task_spawn(&attr, IFACE(task_ops, soak_driver), state.n_drivers, &d->task);
		if (r < 0)
			break;
	}
	state.running = 1;
	if (r < 0)
		command_printf(io, "it cannot start: error %d\n", r);
	return r < 0 ? 1 : 0;
}

static int stop(struct command_io *io)
{
	struct task_exit exit;

	if (!state.running) {
		command_printf(io, "it does not run\n");
		return 1;
	}
	__atomic_store_n(&state.stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < state.n_drivers; i++) {
		int r = task_join(state.drivers[i].task, clock_after(STOP_NS), &exit);

		if (r < 0 || exit.end != TASK_COMPLETED || exit.value != 0)
			soak_wrong("driver %u: error %d, end %d, value %lld", i, r, exit.end,
				   (long long)exit.value);
	}
	shared_check(&state.shared);
	state.running = 0;
	print_state(io);
	return state.n_wrong ? 1 : 0;
}

/*
 * What the whole system holds. What was needed for the first time and stays, because it is used
 * again, is no part of the frames: page tables and the records of regions. Nor is the heap's:
 * how many of its arenas are in use depends on where the blocks lie that stay.
 */
static int held(struct command_io *io)
{
	struct frames_stats frames;
	struct mapped_stats mapped;
	struct task_stats tasks;
	struct heap_stats heap;
	struct held now;

	held_now(&now);
	heap_stats((struct cell_ref){0}, &heap);
	frames_stats(&frames);
	mapped_stats(&mapped);
	task_stats(&tasks);
	command_printf(io, "tasks=%llu pages=%llu objects=%llu bytes=%llu frames=%llu\n",
		       (unsigned long long)now.tasks, (unsigned long long)now.pages,
		       (unsigned long long)now.objects, (unsigned long long)now.bytes,
		       (unsigned long long)(frames.used - frames.tables - mapped.own_pages -
					    heap.pages));
	command_printf(io, "tables=%llu own_pages=%llu heap_pages=%llu\n",
		       (unsigned long long)frames.tables, (unsigned long long)mapped.own_pages,
		       (unsigned long long)heap.pages);
	command_printf(io, "faults=%llu unwound=%llu by_ledger=%llu unwind_failures=%llu\n",
		       (unsigned long long)upcall_fault_count(), (unsigned long long)tasks.unwound,
		       (unsigned long long)tasks.by_ledger,
		       (unsigned long long)tasks.unwind_failures);
	return 0;
}

static int soak_run(struct command_io *io, int argc, const char *const *argv)
{
	uint64_t seed, drivers;

	if (argc == 4 && strcmp(argv[1], "start") == 0) {
		seed = strtoull(argv[2], NULL, 0);
		drivers = strtoull(argv[3], NULL, 0);
		if (drivers >= 1 && drivers <= DRIVERS_MAX)
			return start(io, seed, (unsigned)drivers);
	}
	if (argc == 2 && strcmp(argv[1], "stop") == 0)
		return stop(io);
	if (argc == 2 && strcmp(argv[1], "held") == 0)
		return held(io);
	if (argc == 1) {
		print_state(io);
		return 0;
	}
	command_printf(io, "usage: soak [start SEED DRIVERS | stop | held]\n");
	return 2;
}
CELL_PROVIDE(command_ops, soak) = {
	.run = soak_run,
	.help = "[start SEED DRIVERS | stop | held]  tasks in every role",
};
