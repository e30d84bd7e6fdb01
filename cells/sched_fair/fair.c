/* SPDX-License-Identifier: MIT */
#include "fair.h"

#include "tree.h"

/* 1024 * 1.25^priority, from SCHED_PRIORITY_MIN on. */
static const int32_t weights[SCHED_PRIORITIES] = {
	29,   36,   45,   56,   70,   88,    110,   137,   172,   215,   268,
	336,  419,  524,  655,  819,  1024,  1280,  1600,  2000,  2500,  3125,
	3906, 4883, 6104, 7629, 9537, 11921, 14901, 18626, 23283, 29104,
};

static int32_t weight_of(int32_t priority)
{
	if (priority < SCHED_PRIORITY_MIN)
		return weights[0];
	if (priority > SCHED_PRIORITY_MAX)
		return weights[SCHED_PRIORITIES - 1];
	return weights[priority - SCHED_PRIORITY_MIN];
}

/* Real time to virtual. One run is far below 2^43 ns: ticks see to that. */
static int64_t virtual_of(uint64_t ns, int32_t weight)
{
	const uint64_t most = 1ull << 40;

	return (int64_t)((ns < most ? ns : most) * FAIR_WEIGHT / (uint64_t)weight);
}

int fair_start(struct fair *f, unsigned cpus)
{
	if (cpus < 1 || cpus > GATE_MAX_CPUS)
		return -EINVAL;
	f->place = (struct sched_place){.cpus = cpus};
	f->random = 1;
	for (unsigned i = 0; i < GATE_MAX_CPUS; i++)
		f->queues[i] = (struct fair_queue){.running = 0};
	return 0;
}

void fair_add(struct fair *f, struct fair_chunk *chunk)
{
	spin_lock(&f->lock);
	f->chunks[f->n_slots / FAIR_CHUNK] = chunk;
	__atomic_store_n(&f->n_slots, f->n_slots + FAIR_CHUNK, __ATOMIC_RELEASE);
	spin_unlock(&f->lock);
}

/* ---- virtual time of one queue; under the lock ---- */

/* Rounded down, so that somebody is always at or before it. */
static int64_t virtual_now(const struct fair_queue *q)
{
	int64_t mean;

	if (q->weight == 0)
		return q->origin;
	mean = q->sum / q->weight;
	return q->origin + mean - (q->sum % q->weight < 0);
}

/* @s counts from now on, or no longer. Keeps the sum small by moving the origin along. */
static void count(struct fair_queue *q, const struct fair_slot *s, int sign)
{
	int64_t move;

	q->sum += sign * s->weight * (s->v - q->origin);
	q->weight += sign * s->weight;
	move = virtual_now(q) - q->origin;
	q->origin += move;
	q->sum -= move * q->weight;
}

/* Comes to @cpu with what it is behind or ahead. */
static void join(struct fair *f, struct fair_slot *s, unsigned cpu) REQUIRES(f->lock)
{
	struct fair_queue *q = &f->queues[cpu];
	int64_t lag = s->v;

	/*
	 * Joining moves the mean towards the one who joins: to be as far from the new mean as it
	 * was from its old one, it has to begin further off.
	 */
	if (q->weight)
		lag += lag * s->weight / q->weight;
	s->v = virtual_now(q) - lag;
	s->deadline += s->v;
	s->cpu = (uint16_t)cpu;
	count(q, s, 1);
}

/* Leaves its queue: what it is behind or ahead, at most a slice, stands in v. */
static void part(struct fair *f, struct fair_slot *s) REQUIRES(f->lock)
{
	struct fair_queue *q = &f->queues[s->cpu];
	int64_t most = virtual_of(FAIR_SLICE_NS, s->weight);
	int64_t lag = virtual_now(q) - s->v;

	count(q, s, -1);
	s->deadline -= s->v;
	s->v = lag > most ? most : lag < -most ? -most : lag;
	s->status = FAIR_AWAY;
}

static void put(struct fair *f, struct fair_slot *s, uint32_t slot) REQUIRES(f->lock)
{
	struct fair_queue *q = &f->queues[s->cpu];

	s->order = q->order++;
	s->status = FAIR_QUEUED;
	tree_insert(f, &q->tree, slot);
	place_count(&f->place, s->cpu, 1);
}

static void take(struct fair *f, struct fair_slot *s, uint32_t slot) REQUIRES(f->lock)
{
	tree_remove(f, &f->queues[s->cpu].tree, slot);
	place_count(&f->place, s->cpu, -1);
}

/* It ran for @ns. A slice that is used up is followed by the next. */
static void charge(struct fair *f, struct fair_slot *s, uint32_t slot, uint64_t ns, bool yields)
	REQUIRES(f->lock)
{
	int64_t ran = virtual_of(ns, s->weight), slice = virtual_of(FAIR_SLICE_NS, s->weight);
	bool queued = s->status == FAIR_QUEUED;

	if (queued)
		take(f, s, slot);
	if (s->status == FAIR_AWAY) {
		s->v -= ran;
		s->deadline -= ran;
		if (s->deadline <= 0)
			s->deadline = slice;
		return;
	}
	count(&f->queues[s->cpu], s, -1);
	s->v += ran;
	count(&f->queues[s->cpu], s, 1);
	if (s->v >= s->deadline || yields)
		s->deadline = s->v + slice;
	if (queued)
		put(f, s, slot);
}

/* ---- sched_ops ---- */

/* Should @s, just queued, run before the one that its CPU runs now? */
static bool urgent(struct fair *f, const struct fair_slot *s) REQUIRES(f->lock)
{
	const struct fair_queue *q = &f->queues[s->cpu];

	return q->running && s->v <= virtual_now(q) &&
	       s->deadline < fair_slot_of(f, q->running - 1)->deadline;
}

static void arrive(struct fair *f, struct fair_slot *s, const struct sched_task *task,
		   enum sched_why why) REQUIRES(f->lock)
{
	struct fair_queue *q;

	if (s->status == FAIR_RUNNING) {
		q = &f->queues[s->cpu];
		if (q->running == task->slot + 1)
			q->running = 0;
		/* woken before it left: blocked() will say how long it ran */
		if (why == SCHED_YIELD || why == SCHED_PREEMPTED)
			charge(f, s, task->slot, task->ran_ns, why == SCHED_YIELD);
		part(f, s);
	}
	if (why == SCHED_NEW) {
		s->v = 0;
		s->deadline = 0;
	}
	s->weight = weight_of(task->priority);
	s->affinity = place_allowed(&f->place, task->affinity);
	if (s->deadline <= 0)
		s->deadline = virtual_of(FAIR_SLICE_NS, s->weight);
}

/* Under the lock. */
static unsigned enqueue(struct fair *f, const struct sched_task *task, enum sched_why why,
			unsigned here) REQUIRES(f->lock)
{
	struct fair_slot *s = fair_slot_of(f, task->slot);
	unsigned cpu;

	if (s->status == FAIR_QUEUED)
		return s->cpu;
	arrive(f, s, task, why);
	cpu = place_choose(&f->place, task, s->affinity, why, here);
	join(f, s, cpu);
	put(f, s, task->slot);
	if ((why == SCHED_NEW || why == SCHED_WAKE) && urgent(f, s))
		cpu |= SCHED_URGENT;
	return cpu;
}

unsigned fair_enqueue(struct fair *f, const struct sched_task *task, enum sched_why why,
		      unsigned here)
{
	unsigned cpu;

	if (task->slot >= __atomic_load_n(&f->n_slots, __ATOMIC_ACQUIRE))
		return here;
	spin_lock(&f->lock);
	cpu = enqueue(f, task, why, here);
	spin_unlock(&f->lock);
	return cpu;
}

void fair_blocked(struct fair *f, const struct sched_task *task, unsigned cpu)
{
	struct fair_slot *s;

	if (task->slot >= __atomic_load_n(&f->n_slots, __ATOMIC_ACQUIRE))
		return;
	spin_lock(&f->lock);
	s = fair_slot_of(f, task->slot);
	if (s->weight) /* else it ran before there was a scheduler: the boot task */
		charge(f, s, task->slot, task->ran_ns, false);
	if (s->status == FAIR_RUNNING && s->cpu == cpu) {
		part(f, s);
		f->queues[cpu].running = 0;
	}
	spin_unlock(&f->lock);
}

int fair_dequeue(struct fair *f, uint32_t slot)
{
	struct fair_slot *s;
	int r = -ENOENT;

	if (slot >= __atomic_load_n(&f->n_slots, __ATOMIC_ACQUIRE))
		return -ENOENT;
	spin_lock(&f->lock);
	s = fair_slot_of(f, slot);
	if (s->status == FAIR_QUEUED) {
		take(f, s, slot);
		part(f, s);
		r = 0;
	}
	spin_unlock(&f->lock);
	return r;
}

/* Takes one over from the longest queue that has one for @cpu. -ENOENT. */
static int steal(struct fair *f, unsigned cpu) REQUIRES(f->lock)
{
	struct fair_slot *s;
	int best = -ENOENT, found;
	uint32_t best_n = 0;

	for (unsigned i = 0; i < f->place.cpus; i++) {
		if (i == cpu || f->place.queued[i] <= best_n)
			continue;
		found = tree_first_for(f, &f->queues[i].tree, cpu);
		if (found < 0)
			continue;
		best = found;
		best_n = f->place.queued[i];
	}
	if (best >= 0) {
		s = fair_slot_of(f, (uint32_t)best);
		take(f, s, (uint32_t)best);
		part(f, s);
		join(f, s, cpu);
	}
	return best;
}

/* Under the lock. */
static int pick(struct fair *f, unsigned cpu) REQUIRES(f->lock)
{
	struct fair_queue *q = &f->queues[cpu];
	int slot;

	if (q->tree.root) {
		slot = tree_first_eligible(f, &q->tree, virtual_now(q));
		if (slot < 0) /* who runs elsewhere by now still counts here: the least ahead */
			slot = tree_first_eligible(f, &q->tree,
						   fair_slot_of(f, q->tree.root - 1)->low_v);
		take(f, fair_slot_of(f, (uint32_t)slot), (uint32_t)slot);
	} else {
		slot = steal(f, cpu);
	}
	q->running = slot >= 0 ? (uint32_t)slot + 1 : 0;
	if (slot >= 0) {
		fair_slot_of(f, (uint32_t)slot)->status = FAIR_RUNNING;
		f->place.idle &= ~(1ull << cpu);
	} else {
		f->place.idle |= 1ull << cpu;
	}
	return slot;
}

int fair_pick(struct fair *f, unsigned cpu)
{
	int slot;

	if (cpu >= f->place.cpus)
		return -ENOENT;
	spin_lock(&f->lock);
	slot = pick(f, cpu);
	spin_unlock(&f->lock);
	return slot;
}

int fair_replace(struct fair *f, const struct sched_task *task, enum sched_why why, unsigned cpu,
		 unsigned *ret_where)
{
	int slot;

	*ret_where = cpu;
	if (cpu >= f->place.cpus)
		return -ENOENT;
	spin_lock(&f->lock);
	if (task->slot < f->n_slots)
		*ret_where = enqueue(f, task, why, cpu);
	slot = pick(f, cpu);
	spin_unlock(&f->lock);
	return slot;
}

bool fair_contended(struct fair *f, unsigned cpu)
{
	return place_queued(&f->place, cpu) != 0;
}

uint64_t fair_tick(struct fair *f, unsigned cpu, uint64_t ran_ns)
{
	const struct fair_slot *s;
	int64_t left = 0;

	if (!fair_contended(f, cpu))
		return FAIR_SLICE_NS;
	spin_lock(&f->lock);
	if (f->queues[cpu].running) {
		s = fair_slot_of(f, f->queues[cpu].running - 1);
		left = (s->deadline - s->v - virtual_of(ran_ns, s->weight)) * s->weight /
		       FAIR_WEIGHT;
	}
	spin_unlock(&f->lock);
	if (left <= 0)
		return 0;
	return (uint64_t)left > FAIR_TICK_MIN_NS ? (uint64_t)left : FAIR_TICK_MIN_NS;
}

int fair_helper(struct fair *f, unsigned cpu)
{
	int r = -ENOENT;

	if (cpu >= f->place.cpus || !__atomic_load_n(&f->place.idle, __ATOMIC_RELAXED) ||
	    !fair_contended(f, cpu))
		return -ENOENT;
	spin_lock(&f->lock);
	for (uint64_t rest = f->place.idle; rest && r < 0; rest &= rest - 1) {
		if (tree_first_for(f, &f->queues[cpu].tree, (unsigned)__builtin_ctzll(rest)) >= 0)
			r = __builtin_ctzll(rest);
	}
	spin_unlock(&f->lock);
	return r;
}

unsigned fair_queued(struct fair *f, unsigned cpu)
{
	return place_queued(&f->place, cpu);
}
