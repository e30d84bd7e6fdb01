/* SPDX-License-Identifier: MIT */
/*
 * The demonstration's client: once told to run, calls the greeter as fast as it can on every
 * CPU and checks every answer, so that a swap that lost, garbled or forgot something shows.
 */
#include <string.h>

#include <theseus/cell.h>
#include <theseus/clock.h>
#include <theseus/command.h>
#include <theseus/greeter.h>
#include <theseus/service.h>

#include "caller.h"

CELL_INFO(.name = "caller", .version = "1.0.0",
	  .summary = "calls the greeter on every CPU and checks the answers", .safety = CELL_SAFE,
	  .quiescence = CELL_QUIESCE_ANY);

#define BATCH 256u

/* The versions that may answer; an answer that is none of these texts is wrong. */
static const struct {
	const char *version;
	char text[GREETER_TEXT_MAX];
} known[] = {
	{"1.0.0", "hello from greeter 1.0.0"},
	{"2.0.0", "greetings from greeter 2.0.0, swapped in while you called"},
};

/* Of one CPU, written by its runner alone: no locks, no shared lines on the hot path. */
struct caller_cpu {
	uint64_t calls[ARRAY_SIZE(known)];
	uint64_t wrong;
	uint64_t lost; /* no answer, or one that the greeter's own count does not know of */
	uint64_t last_answer, max_gap; /* TSC ticks */
	uint32_t resets; /* seen of caller_state.resets */
} __attribute__((aligned(64)));

struct caller_state {
	uint32_t resets; /* of the gap, asked for by the command */
	uint32_t run;    /* asked for by the command; else the CPUs are left in peace */
	uint32_t pause;  /* calls are being measured */
	uint64_t greeted; /* by caller_greet() */
	struct caller_cpu cpus[GATE_MAX_CPUS];
};

CELL_STATE(struct caller_state, caller);

static void check(struct caller_cpu *c, const char *text)
{
	for (unsigned v = 0; v < ARRAY_SIZE(known); v++) {
		if (memcmp(text, known[v].text, sizeof(known[v].text)) == 0) {
			c->calls[v]++;
			return;
		}
	}
	c->wrong++;
}

static void note_gap(struct caller_cpu *c)
{
	uint64_t now = __builtin_ia32_rdtsc();
	uint64_t gap = now - c->last_answer;

	if (c->last_answer != 0 && gap > c->max_gap)
		c->max_gap = gap;
	c->last_answer = now;
}

static void call(struct caller_cpu *c)
{
	char text[GREETER_TEXT_MAX] = {0};

	if (greeter_greet(text, sizeof(text)) < 0) {
		c->lost++;
		return;
	}
	note_gap(c);
	check(c, text);
}

static struct service_next step(void)
{
	struct caller_cpu *c = &caller.cpus[service_self().instance % GATE_MAX_CPUS];
	uint32_t resets = __atomic_load_n(&caller.resets, __ATOMIC_RELAXED);
	uint64_t before = greeter_calls(), counted;

	if (c->resets != resets) {
		c->resets = resets;
		c->max_gap = 0;
	}
	if (!__atomic_load_n(&caller.run, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&caller.pause, __ATOMIC_RELAXED)) {
		c->last_answer = 0; /* a rest is no gap */
		return service_wait(CLOCK_NEVER);
	}
	for (unsigned i = 0; i < BATCH; i++)
		call(c);
	/* other callers may have added to the count, nobody may have taken away from it */
	counted = greeter_calls() - before;
	if (counted < BATCH || counted > UINT64_MAX / 2)
		c->lost += BATCH;
	return service_again();
}

static int health(void)
{
	for (unsigned cpu = 0; cpu < GATE_MAX_CPUS; cpu++) {
		if (caller.cpus[cpu].wrong || caller.cpus[cpu].lost)
			return -EIO;
	}
	return 0;
}
CELL_PROVIDE(service_ops, caller) = {.step = step, .health = health, .cpu = SERVICE_EACH_CPU};

void caller_pause(bool pause)
{
	__atomic_store_n(&caller.pause, pause, __ATOMIC_RELAXED);
	if (!pause)
		(void)service_wake(IFACE(service_ops, caller));
}

int caller_greet(char *buf, size_t len)
{
	static const char text[] = "hello from greeter 1.0.0";

	if (len < sizeof(text))
		return -ENOSPC;
	memcpy(buf, text, sizeof(text));
	__atomic_fetch_add(&caller.greeted, 1, __ATOMIC_RELAXED);
	return sizeof(text) - 1;
}

static void sum(struct caller_cpu *ret_sum)
{
	struct caller_cpu all = {0};

	for (unsigned cpu = 0; cpu < GATE_MAX_CPUS; cpu++) {
		const struct caller_cpu *c = &caller.cpus[cpu];

		for (unsigned v = 0; v < ARRAY_SIZE(known); v++)
			all.calls[v] += c->calls[v];
		all.wrong += c->wrong;
		all.lost += c->lost;
		if (c->max_gap > all.max_gap && c->resets == caller.resets)
			all.max_gap = c->max_gap;
	}
	*ret_sum = all;
}

static int counts_run(struct command_io *io, int argc, const char *const *argv)
{
	struct caller_cpu all;
	uint64_t total = 0;

	if (argc == 2 && strcmp(argv[1], "reset") == 0) {
		__atomic_fetch_add(&caller.resets, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (argc != 1) {
		command_printf(io, "usage: caller-counts [reset]\n");
		return 2;
	}
	sum(&all);
	for (unsigned v = 0; v < ARRAY_SIZE(known); v++) {
		command_printf(io, "version=%s calls=%llu\n", known[v].version,
			       (unsigned long long)all.calls[v]);
		total += all.calls[v];
	}
	command_printf(io, "wrong=%llu\nlost=%llu\ntotal=%llu\nmax_gap_ns=%llu\n",
		       (unsigned long long)all.wrong, (unsigned long long)all.lost,
		       (unsigned long long)(total + all.wrong + all.lost),
		       (unsigned long long)(all.max_gap * 1000000 / clock_tsc_khz()));
	return 0;
}
CELL_PROVIDE(command_ops, caller_counts) = {
	.run = counts_run,
	.help = "[reset]  calls by version, wrong and lost answers, longest gap (reset: of the gap)",
};

static int callers_run(struct command_io *io, int argc, const char *const *argv)
{
	bool run = argc == 2 && strcmp(argv[1], "run") == 0;

	if (!run && (argc != 2 || strcmp(argv[1], "rest") != 0)) {
		command_printf(io, "usage: callers run|rest\n");
		return 2;
	}
	__atomic_store_n(&caller.run, run, __ATOMIC_RELAXED);
	if (run)
		(void)service_wake(IFACE(service_ops, caller));
	return 0;
}
CELL_PROVIDE(command_ops, callers) = {
	.run = callers_run,
	.help = "run|rest  makes every CPU call the greeter as fast as it can, or stop that",
};
