/* SPDX-License-Identifier: MIT */
/*
 * Where a task that can run goes; the same for all schedulers. Pure; the caller locks.
 *
 * An interrupt to another CPU costs more than most waits, so a task stays on the CPU where it
 * became runnable unless its last one sits idle. What then waits although another CPU is idle
 * is taken over: that CPU is told at the next tick (sched_ops.helper) and takes it itself.
 * Who used up its slice goes on where fewer wait, so three on two CPUs get two thirds each.
 */
#ifndef SCHED_PLACE_H
#define SCHED_PLACE_H

#include <theseus/sched.h>

struct sched_place {
	uint32_t cpus;
	uint32_t reserved;
	uint64_t idle; /* bit n: CPU n found nothing when it looked, and was given nothing since */
	uint32_t queued[GATE_MAX_CPUS]; /* atomic: how many wait there */
};

/* @affinity as far as it is about CPUs that there are; any CPU rather than none. */
static inline uint64_t place_allowed(const struct sched_place *p, uint64_t affinity)
{
	uint64_t all = p->cpus < 64 ? (1ull << p->cpus) - 1 : UINT64_MAX;

	return affinity & all ? affinity & all : all;
}

static inline uint32_t place_queued(const struct sched_place *p, unsigned cpu)
{
	return cpu < p->cpus ? __atomic_load_n(&p->queued[cpu], __ATOMIC_RELAXED) : 0;
}

/* Under the scheduler's lock. */
static inline void place_count(struct sched_place *p, unsigned cpu, int32_t n)
{
	__atomic_store_n(&p->queued[cpu], p->queued[cpu] + (uint32_t)n, __ATOMIC_RELAXED);
	if (n > 0)
		p->idle &= ~(1ull << cpu);
}

/* Of the CPUs of @affinity the one where the fewest wait; @here unless another has fewer. */
static inline unsigned place_least(const struct sched_place *p, uint64_t affinity, unsigned here)
{
	unsigned best = here;

	for (uint64_t rest = affinity; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);

		if (p->queued[cpu] < p->queued[best])
			best = cpu;
	}
	return best;
}

/* @affinity: place_allowed(). */
static inline unsigned place_choose(const struct sched_place *p, const struct sched_task *task,
				    uint64_t affinity, enum sched_why why, unsigned here)
{
	uint64_t idle = affinity & p->idle;
	unsigned last = task->last_cpu < p->cpus ? task->last_cpu : here;

	if (idle >> here & 1)
		return here;
	if (why != SCHED_NEW && idle >> last & 1)
		return last;
	if (idle && (why == SCHED_PREEMPTED || !(affinity >> here & 1)))
		return (unsigned)__builtin_ctzll(idle);
	if (affinity >> here & 1)
		return why == SCHED_PREEMPTED ? place_least(p, affinity, here) : here;
	if (affinity >> last & 1)
		return last;
	return (unsigned)__builtin_ctzll(affinity);
}

#endif
