/* SPDX-License-Identifier: MIT */
/*
 * What a scheduler is: it decides which runnable task runs where. The task cell does the
 * rest (states, stacks, switching, timers). Tasks are named by their slot, 0..TASKS_MAX-1,
 * so a scheduler's state holds no address of anybody else's.
 *
 * CELL_PROVIDE(sched_ops, rr) = {…}; the boot command line's `sched=` names one, default rr.
 * All calls but start and reserve are made with upcalls masked, on any CPU, also in parallel:
 * the scheduler locks what it needs, and neither blocks nor allocates. A task that runs or is
 * blocked is in no queue.
 */
#ifndef THESEUS_SCHED_H
#define THESEUS_SCHED_H

#include <theseus/cell.h>

#define TASKS_MAX 16384u

/* Priorities of tasks: the higher, the more urgent. What they mean is the scheduler's. */
#define SCHED_PRIORITY_MIN (-16)
#define SCHED_PRIORITY_MAX 15
#define SCHED_PRIORITIES 32u

struct sched_task {
	uint32_t slot;
	uint32_t last_cpu; /* where it ran last, or was spawned */
	uint64_t affinity; /* bit n: may run on CPU n; never 0 */
	int32_t priority;  /* SCHED_PRIORITY_MIN..MAX */
	uint32_t reserved;
	uint64_t ran_ns; /* since it was picked; 0 for one that did not run */
};

enum sched_why {
	SCHED_NEW,       /* first time */
	SCHED_WAKE,      /* was blocked */
	SCHED_YIELD,     /* ran, gives way by itself */
	SCHED_PREEMPTED, /* ran, its slice ended or something else is due */
};

/* Added to what enqueue returns: who runs on that CPU shall give way at once. */
#define SCHED_URGENT 0x100u

struct sched_ops {
	/* Once, before all others. @cpus are the machine's; 1..GATE_MAX_CPUS. -errno: not usable.
	 */
	int (*start)(unsigned cpus);
	/*
	 * Slots below @slots are going to be named. Context: tasks; may allocate. Result: 0,
	 * -ENOMEM.
	 */
	int (*reserve)(uint32_t slots);
	/*
	 * @task can run: puts it into a queue. @here: the calling CPU. Result: the CPU whose
	 * queue it was, perhaps with SCHED_URGENT; the caller makes that CPU look.
	 */
	unsigned (*enqueue)(const struct sched_task *task, enum sched_why why, unsigned here);
	/*
	 * The running @task of @cpu gives way: enqueue() and pick() in one. Result: as pick();
	 * *ret_where: as enqueue().
	 */
	int (*replace)(const struct sched_task *task, enum sched_why why, unsigned cpu,
		       unsigned *ret_where);
	/*
	 * @task ran on @cpu and does not go on: it blocks, or has ended. Somebody may already
	 * have woken, and another CPU picked it.
	 */
	void (*blocked)(const struct sched_task *task, unsigned cpu);
	/* Takes @slot out of whatever queue it is in. Result: 0, -ENOENT. */
	int (*dequeue)(uint32_t slot);
	/* Takes out the task that @cpu shall run next. Result: its slot, -ENOENT: none, be idle. */
	int (*pick)(unsigned cpu);
	/* Could @cpu run something else than what it runs? Then it gets a tick. */
	bool (*contended)(unsigned cpu);
	/*
	 * The task of @cpu has run for @ran_ns. Result: 0 = somebody else's turn, else the ns
	 * after which to ask again.
	 */
	uint64_t (*tick)(unsigned cpu, uint64_t ran_ns);
	/* An idle CPU that may run something that waits for @cpu. -ENOENT: none. */
	int (*helper)(unsigned cpu);
	/* Tasks queued, for listings. */
	unsigned (*queued)(unsigned cpu);
};
IFACE_DEFINE(sched_ops);

#endif
