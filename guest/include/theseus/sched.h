/* SPDX-License-Identifier: MIT */
/*
 * What a scheduler is: it decides which runnable task runs where. The task cell does the
 * rest (states, stacks, switching, timers). Tasks are named by their slot, 0..TASKS_MAX-1,
 * so a scheduler's state holds no address of anybody else's.
 *
 * CELL_PROVIDE(sched_ops, rr) = {…}; the boot command line's `sched=` names one, default rr.
 * All calls are made with upcalls masked, on any CPU, also in parallel: the scheduler locks
 * what it needs. None blocks or allocates. A task that runs or is blocked is in no queue.
 */
#ifndef THESEUS_SCHED_H
#define THESEUS_SCHED_H

#include <theseus/cell.h>

#define TASKS_MAX 256u

struct sched_task {
	uint32_t slot;
	uint32_t last_cpu; /* where it ran last, or was spawned */
	uint64_t affinity; /* bit n: may run on CPU n; never 0 */
};

enum sched_why {
	SCHED_NEW,       /* first time */
	SCHED_WAKE,      /* was blocked */
	SCHED_YIELD,     /* ran, gives way by itself */
	SCHED_PREEMPTED, /* ran, its slice ended or something else is due */
};

struct sched_ops {
	/* Once, before all others. @cpus are the machine's; 1..GATE_MAX_CPUS. -errno: not usable.
	 */
	int (*start)(unsigned cpus);
	/*
	 * @task can run: puts it into a queue. @here: the calling CPU. Result: the CPU whose
	 * queue it was; the caller makes that CPU look if it is idle.
	 */
	unsigned (*enqueue)(const struct sched_task *task, enum sched_why why, unsigned here);
	/* Takes @slot out of whatever queue it is in. Result: 0, -ENOENT. */
	int (*dequeue)(uint32_t slot);
	/* Takes out the task that @cpu shall run next. Result: its slot, -ENOENT: none, be idle. */
	int (*pick)(unsigned cpu);
	/* Could @cpu run something else than what it runs? Then it gets a tick. */
	bool (*contended)(unsigned cpu);
	/*
	 * A tick of @cpu: its task has run for @ran_ns. Result: 0 = somebody else's turn, else
	 * the ns after which to ask again.
	 */
	uint64_t (*tick)(unsigned cpu, uint64_t ran_ns);
	/* Tasks queued, for listings. */
	unsigned (*queued)(unsigned cpu);
};
IFACE_DEFINE(sched_ops);

#endif
