/* SPDX-License-Identifier: MIT */
/*
 * Where a task goes. An interrupt to another CPU costs about 0.1 ms where CPL 0 is emulated,
 * so a wake-up stays on the CPU it happens on unless its last one sits idle; what has to wait
 * for a whole slice because others run is moved to an idle CPU when its turn is over, and an
 * idle CPU that looks for work takes it from the longest queue.
 */
#include "queue.h"

int rr_start(struct rr_state *rr, unsigned cpus)
{
	if (cpus < 1 || cpus > GATE_MAX_CPUS)
		return -EINVAL;
	*rr = (struct rr_state){.cpus = cpus};
	for (unsigned i = 0; i < GATE_MAX_CPUS; i++)
		rr->queues[i] = (struct rr_queue){.first = RR_NONE, .last = RR_NONE};
	for (unsigned i = 0; i < TASKS_MAX; i++) {
		rr->next[i] = RR_NONE;
		rr->queue[i] = RR_NONE;
	}
	return 0;
}

static bool allowed(uint64_t affinity, unsigned cpu)
{
	return affinity >> cpu & 1;
}

static bool allowed_idle(const struct rr_state *rr, uint64_t affinity, unsigned cpu)
{
	return allowed(affinity, cpu) && rr->queues[cpu].idle && rr->queues[cpu].n == 0;
}

static unsigned choose(const struct rr_state *rr, const struct sched_task *task, enum sched_why why,
		       unsigned here)
{
	unsigned last = task->last_cpu < rr->cpus ? task->last_cpu : here;

	if (allowed_idle(rr, task->affinity, here))
		return here;
	if (allowed_idle(rr, task->affinity, last))
		return last;
	if (why == SCHED_NEW || why == SCHED_PREEMPTED) {
		for (unsigned i = 0; i < rr->cpus; i++) {
			if (allowed_idle(rr, task->affinity, i))
				return i;
		}
	}
	if (allowed(task->affinity, here))
		return here;
	if (allowed(task->affinity, last))
		return last;
	for (unsigned i = 0; i < rr->cpus; i++) {
		if (allowed(task->affinity, i))
			return i;
	}
	return here;
}

unsigned rr_enqueue(struct rr_state *rr, const struct sched_task *task, enum sched_why why,
		    unsigned here)
{
	uint16_t slot = (uint16_t)task->slot;
	struct rr_queue *q;
	unsigned cpu;

	if (task->slot >= TASKS_MAX)
		return here;
	spin_lock(&rr->lock);
	if (rr->queue[slot] != RR_NONE) {
		cpu = rr->queue[slot];
		spin_unlock(&rr->lock);
		return cpu;
	}
	cpu = choose(rr, task, why, here);
	q = &rr->queues[cpu];
	rr->affinity[slot] = task->affinity;
	rr->queue[slot] = (uint16_t)cpu;
	rr->next[slot] = RR_NONE;
	if (q->n++ == 0)
		q->first = slot;
	else
		rr->next[q->last] = slot;
	q->last = slot;
	spin_unlock(&rr->lock);
	return cpu;
}

/* Takes @slot, which follows @before (RR_NONE: is first), out of @q. */
static void unlink_after(struct rr_state *rr, struct rr_queue *q, uint16_t before, uint16_t slot)
{
	uint16_t next = rr->next[slot];

	if (before == RR_NONE)
		q->first = next;
	else
		rr->next[before] = next;
	if (q->last == slot)
		q->last = before;
	rr->next[slot] = RR_NONE;
	rr->queue[slot] = RR_NONE;
	q->n--;
}

int rr_dequeue(struct rr_state *rr, uint32_t slot)
{
	uint16_t before = RR_NONE, at;
	struct rr_queue *q;
	int r = -ENOENT;

	if (slot >= TASKS_MAX)
		return -ENOENT;
	spin_lock(&rr->lock);
	if (rr->queue[slot] != RR_NONE) {
		q = &rr->queues[rr->queue[slot]];
		for (at = q->first; at != slot; at = rr->next[at])
			before = at;
		unlink_after(rr, q, before, at);
		r = 0;
	}
	spin_unlock(&rr->lock);
	return r;
}

/* The first task of the longest queue that may run on @cpu. -ENOENT. */
static int steal(struct rr_state *rr, unsigned cpu)
{
	uint16_t best = RR_NONE, best_before = RR_NONE, before;
	unsigned best_n = 0;

	for (unsigned i = 0; i < rr->cpus; i++) {
		const struct rr_queue *q = &rr->queues[i];

		if (q->n <= best_n)
			continue;
		before = RR_NONE;
		for (uint16_t at = q->first; at != RR_NONE; before = at, at = rr->next[at]) {
			if (!allowed(rr->affinity[at], cpu))
				continue;
			best = at;
			best_before = before;
			best_n = q->n;
			break;
		}
	}
	if (best == RR_NONE)
		return -ENOENT;
	unlink_after(rr, &rr->queues[rr->queue[best]], best_before, best);
	return best;
}

int rr_pick(struct rr_state *rr, unsigned cpu)
{
	struct rr_queue *q;
	int slot;

	if (cpu >= rr->cpus)
		return -ENOENT;
	spin_lock(&rr->lock);
	q = &rr->queues[cpu];
	if (q->n) {
		slot = q->first;
		unlink_after(rr, q, RR_NONE, q->first);
	} else {
		slot = steal(rr, cpu);
	}
	q->idle = slot < 0;
	spin_unlock(&rr->lock);
	return slot;
}

bool rr_contended(struct rr_state *rr, unsigned cpu)
{
	return cpu < rr->cpus && __atomic_load_n(&rr->queues[cpu].n, __ATOMIC_RELAXED) != 0;
}

uint64_t rr_tick(struct rr_state *rr, unsigned cpu, uint64_t ran_ns)
{
	if (!rr_contended(rr, cpu))
		return RR_SLICE_NS;
	return ran_ns >= RR_SLICE_NS ? 0 : RR_SLICE_NS - ran_ns;
}

unsigned rr_queued(struct rr_state *rr, unsigned cpu)
{
	return cpu < rr->cpus ? __atomic_load_n(&rr->queues[cpu].n, __ATOMIC_RELAXED) : 0;
}
