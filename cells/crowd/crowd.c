/* SPDX-License-Identifier: MIT */
/*
 * Thousands of tasks to be listed: most wait for good, and some end all the time, each after it has
 * started the next one.
 */
#include <stdlib.h>
#include <string.h>

#include <theseus/command.h>
#include <theseus/errno.h>
#include <theseus/task.h>

CELL_INFO(.name = "crowd", .version = "1.0.0", .safety = CELL_SAFE,
	  .summary = "thousands of tasks that wait, and some that end");

#define STACK_BYTES (8u << 10)
#define GO_NS CLOCK_MS

struct crowd_state {
	struct task_event never;
	uint64_t ended; /* of those that go; atomic */
};
CELL_STATE(struct crowd_state, crowd);

static int spawn(const char *name, struct task_ops_h entry)
{
	const struct task_attr attr = {.name = name, .stack_bytes = STACK_BYTES, .detached = true};
	struct task_ref task;

	return task_spawn(&attr, entry, 0, &task);
}

static int64_t wait(uint64_t arg)
{
	uint64_t seen = task_event_count(&crowd.never);

	(void)arg;
	return task_event_wait(&crowd.never, seen, CLOCK_NEVER) == -ECANCELED ? 0 : TASK_AGAIN;
}
CELL_PROVIDE(task_ops, crowd_wait) = {.run = wait};

static int64_t go(uint64_t arg);
CELL_PROVIDE(task_ops, crowd_go) = {.run = go};

static int64_t go(uint64_t arg)
{
	(void)arg;
	if (task_sleep_until(clock_after(GO_NS)) == 0)
		(void)!spawn("goes", IFACE(task_ops, crowd_go));
	__atomic_fetch_add(&crowd.ended, 1, __ATOMIC_RELAXED);
	return 0;
}

static int crowd_run(struct command_io *io, int argc, const char *const *argv)
{
	unsigned long waiting = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long going = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	int r = 0;

	for (unsigned long i = 0; i < waiting && r == 0; i++)
		r = spawn("waits", IFACE(task_ops, crowd_wait));
	for (unsigned long i = 0; i < going && r == 0; i++)
		r = spawn("goes", IFACE(task_ops, crowd_go));
	if (r < 0)
		command_printf(io, "they cannot start: error %d\n", r);
	else
		command_printf(io, "%llu\n",
			       (unsigned long long)__atomic_load_n(&crowd.ended, __ATOMIC_RELAXED));
	return r < 0 ? 1 : 0;
}
CELL_PROVIDE(command_ops, crowd) = {
	.run = crowd_run,
	.help = "[WAITING GOING]  starts such tasks; how many have gone",
};
