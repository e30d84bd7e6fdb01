/* SPDX-License-Identifier: MIT */
#include "queue.h"

CELL_INFO(.name = "sched_rr", .version = "1.0.0", .summary = "round-robin scheduler",
	  .safety = CELL_UNSAFE);

CELL_STATE(struct rr_state, rr) = {.cpus = 0};

static int start(unsigned cpus)
{
	return rr_start(&rr, cpus);
}

static unsigned enqueue(const struct sched_task *task, enum sched_why why, unsigned here)
{
	return rr_enqueue(&rr, task, why, here);
}

static int dequeue(uint32_t slot)
{
	return rr_dequeue(&rr, slot);
}

static int pick(unsigned cpu)
{
	return rr_pick(&rr, cpu);
}

static bool contended(unsigned cpu)
{
	return rr_contended(&rr, cpu);
}

static uint64_t tick(unsigned cpu, uint64_t ran_ns)
{
	return rr_tick(&rr, cpu, ran_ns);
}

static unsigned queued(unsigned cpu)
{
	return rr_queued(&rr, cpu);
}

CELL_PROVIDE(sched_ops, rr) = {
	.start = start,
	.enqueue = enqueue,
	.dequeue = dequeue,
	.pick = pick,
	.contended = contended,
	.tick = tick,
	.queued = queued,
};
