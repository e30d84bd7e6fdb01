/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <theseus/heap.h>

#include "fair.h"

CELL_INFO(.name = "sched_fair", .version = "1.0.0",
	  .summary = "fair scheduler: earliest eligible virtual deadline first",
	  .safety = CELL_SAFE);

CELL_STATE(struct fair, fair) = {.n_slots = 0};

static int start(unsigned cpus)
{
	return fair_start(&fair, cpus);
}

/* One at a time: the task cell sees to it. Chunks stay for good and are nobody's leak. */
static int reserve(uint32_t slots)
{
	struct fair_chunk *chunk;

	while (fair.n_slots < slots) {
		chunk = heap_alloc((struct cell_ref){0}, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		memset(chunk, 0, sizeof(*chunk));
		fair_add(&fair, chunk);
	}
	return 0;
}

static unsigned enqueue(const struct sched_task *task, enum sched_why why, unsigned here)
{
	return fair_enqueue(&fair, task, why, here);
}

static int replace(const struct sched_task *task, enum sched_why why, unsigned cpu,
		   unsigned *ret_where)
{
	return fair_replace(&fair, task, why, cpu, ret_where);
}

static void blocked(const struct sched_task *task, unsigned cpu)
{
	fair_blocked(&fair, task, cpu);
}

static int dequeue(uint32_t slot)
{
	return fair_dequeue(&fair, slot);
}

static int pick(unsigned cpu)
{
	return fair_pick(&fair, cpu);
}

static bool contended(unsigned cpu)
{
	return fair_contended(&fair, cpu);
}

static uint64_t tick(unsigned cpu, uint64_t ran_ns)
{
	return fair_tick(&fair, cpu, ran_ns);
}

static int helper(unsigned cpu)
{
	return fair_helper(&fair, cpu);
}

static unsigned queued(unsigned cpu)
{
	return fair_queued(&fair, cpu);
}

CELL_PROVIDE(sched_ops, fair) = {
	.start = start,
	.reserve = reserve,
	.enqueue = enqueue,
	.replace = replace,
	.blocked = blocked,
	.dequeue = dequeue,
	.pick = pick,
	.contended = contended,
	.tick = tick,
	.helper = helper,
	.queued = queued,
};
