/* SPDX-License-Identifier: MIT */
#include "levels.h"

static struct levels_slot *slot_of(struct levels *l, uint32_t slot)
{
	return &l->chunks[slot / LEVELS_CHUNK]->slots[slot % LEVELS_CHUNK];
}

int levels_start(struct levels *l, unsigned cpus)
{
	if (cpus < 1 || cpus > GATE_MAX_CPUS)
		return -EINVAL;
	l->place = (struct sched_place){.cpus = cpus};
	for (unsigned i = 0; i < GATE_MAX_CPUS; i++)
		l->queues[i] = (struct levels_queue){.running = -1};
	return 0;
}

uint32_t levels_add(struct levels *l, struct levels_chunk *chunk)
{
	spin_lock(&l->lock);
	l->chunks[l->n_slots / LEVELS_CHUNK] = chunk;
	__atomic_store_n(&l->n_slots, l->n_slots + LEVELS_CHUNK, __ATOMIC_RELEASE);
	spin_unlock(&l->lock);
	return l->n_slots;
}

/* ---- one CPU's queue; under the lock ---- */

static enum levels_kind kind_of(uint64_t affinity)
{
	return affinity & (affinity - 1) ? LEVELS_MOVABLE : LEVELS_BOUND;
}

static struct levels_list *list_of(struct levels *l, const struct levels_slot *s)
{
	return &l->queues[s->queue - 1].lists[s->level][kind_of(s->affinity)];
}

static void append(struct levels *l, unsigned cpu, uint32_t slot) REQUIRES(l->lock)
{
	struct levels_slot *s = slot_of(l, slot);
	struct levels_queue *q = &l->queues[cpu];
	struct levels_list *list;

	s->queue = cpu + 1;
	s->order = q->order++;
	list = list_of(l, s);
	s->next = 0;
	s->before = list->last;
	if (list->last)
		slot_of(l, list->last - 1)->next = slot + 1;
	else
		list->first = slot + 1;
	list->last = slot + 1;
	if (!(q->used >> s->level & 1))
		q->passed[s->level] = 0;
	q->used |= 1u << s->level;
	place_count(&l->place, cpu, 1);
	q->n_movable += list == &q->lists[s->level][LEVELS_MOVABLE];
}

static void take(struct levels *l, uint32_t slot) REQUIRES(l->lock)
{
	struct levels_slot *s = slot_of(l, slot);
	struct levels_queue *q = &l->queues[s->queue - 1];
	struct levels_list *list = list_of(l, s);

	if (s->before)
		slot_of(l, s->before - 1)->next = s->next;
	else
		list->first = s->next;
	if (s->next)
		slot_of(l, s->next - 1)->before = s->before;
	else
		list->last = s->before;
	place_count(&l->place, s->queue - 1, -1);
	q->n_movable -= list == &q->lists[s->level][LEVELS_MOVABLE];
	if (!q->lists[s->level][LEVELS_BOUND].first && !q->lists[s->level][LEVELS_MOVABLE].first)
		q->used &= ~(1u << s->level);
	s->queue = 0;
}

/* The one of @level that came first. */
static uint32_t first_of(struct levels *l, const struct levels_queue *q, unsigned level)
	REQUIRES(l->lock)
{
	uint32_t bound = q->lists[level][LEVELS_BOUND].first;
	uint32_t movable = q->lists[level][LEVELS_MOVABLE].first;

	if (!bound || !movable)
		return (bound ? bound : movable) - 1;
	return (slot_of(l, bound - 1)->order < slot_of(l, movable - 1)->order ? bound : movable) -
	       1;
}

static unsigned highest(uint32_t used)
{
	return 31 - (unsigned)__builtin_clz(used);
}

/* The level to pick from, of a queue that is not empty. */
static unsigned turn_of(struct levels_queue *q)
{
	unsigned best = highest(q->used), level;

	for (uint32_t rest = q->used & ~(1u << best); rest; rest &= rest - 1) {
		level = (unsigned)__builtin_ctz(rest);
		if (q->passed[level]++ >= LEVELS_PATIENCE) {
			best = level;
			break;
		}
	}
	q->passed[best] = 0;
	return best;
}

/* ---- sched_ops ---- */

static unsigned level_of(int32_t priority)
{
	int32_t level = SCHED_LEVELS == 1 ? 0 : priority - SCHED_PRIORITY_MIN;

	if (level < 0)
		return 0;
	return level < (int32_t)SCHED_LEVELS ? (unsigned)level : SCHED_LEVELS - 1;
}

/* Where somebody less urgent runs, if not on @cpu then anywhere. */
static unsigned urge(const struct levels *l, unsigned cpu, uint64_t affinity, unsigned level)
	REQUIRES(l->lock)
{
	if (l->queues[cpu].running < 0)
		return cpu; /* idle: it looks anyway */
	if (l->queues[cpu].running < (int32_t)level)
		return cpu | SCHED_URGENT;
	for (uint64_t rest = affinity; rest; rest &= rest - 1) {
		unsigned other = (unsigned)__builtin_ctzll(rest);

		if (l->queues[other].running >= 0 && l->queues[other].running < (int32_t)level)
			return other | SCHED_URGENT;
	}
	return cpu;
}

/* Under the lock. */
static unsigned put(struct levels *l, const struct sched_task *task, enum sched_why why,
		    unsigned here) REQUIRES(l->lock)
{
	struct levels_slot *s = slot_of(l, task->slot);
	unsigned result;

	if (s->queue)
		return s->queue - 1;
	s->affinity = place_allowed(&l->place, task->affinity);
	s->level = level_of(task->priority);
	result = place_choose(&l->place, task, s->affinity, why, here);
	/* who gives way on this CPU is followed by whom pick() says */
	if (why == SCHED_NEW || why == SCHED_WAKE)
		result = urge(l, result, s->affinity, s->level);
	append(l, result & ~SCHED_URGENT, task->slot);
	return result;
}

unsigned levels_enqueue(struct levels *l, const struct sched_task *task, enum sched_why why,
			unsigned here)
{
	unsigned result;

	if (task->slot >= __atomic_load_n(&l->n_slots, __ATOMIC_ACQUIRE))
		return here;
	spin_lock(&l->lock);
	result = put(l, task, why, here);
	spin_unlock(&l->lock);
	return result;
}

int levels_dequeue(struct levels *l, uint32_t slot)
{
	int r = -ENOENT;

	if (slot >= __atomic_load_n(&l->n_slots, __ATOMIC_ACQUIRE))
		return -ENOENT;
	spin_lock(&l->lock);
	if (slot_of(l, slot)->queue) {
		take(l, slot);
		r = 0;
	}
	spin_unlock(&l->lock);
	return r;
}

/* The most urgent of @q that @cpu may run. -ENOENT. */
static int find_for(struct levels *l, const struct levels_queue *q, unsigned cpu) REQUIRES(l->lock)
{
	for (uint32_t rest = q->used; rest; rest &= ~(1u << highest(rest))) {
		uint32_t at = q->lists[highest(rest)][LEVELS_MOVABLE].first;

		for (unsigned i = 0; at && i < LEVELS_LOOK; i++) {
			const struct levels_slot *s = slot_of(l, at - 1);

			if (s->affinity >> cpu & 1)
				return (int)at - 1;
			at = s->next;
		}
	}
	return -ENOENT;
}

static int steal(struct levels *l, unsigned cpu) REQUIRES(l->lock)
{
	int best = -ENOENT, found;
	uint32_t best_n = 0;

	for (unsigned i = 0; i < l->place.cpus; i++) {
		if (i == cpu || l->queues[i].n_movable <= best_n)
			continue;
		found = find_for(l, &l->queues[i], cpu);
		if (found < 0)
			continue;
		best = found;
		best_n = l->queues[i].n_movable;
	}
	return best;
}

/* Under the lock. */
static int pick(struct levels *l, unsigned cpu) REQUIRES(l->lock)
{
	struct levels_queue *q = &l->queues[cpu];
	int slot = q->used ? (int)first_of(l, q, turn_of(q)) : steal(l, cpu);

	if (slot >= 0) {
		take(l, (uint32_t)slot);
		q->running = (int32_t)slot_of(l, (uint32_t)slot)->level;
		l->place.idle &= ~(1ull << cpu);
	} else {
		q->running = -1;
		l->place.idle |= 1ull << cpu;
	}
	return slot;
}

int levels_pick(struct levels *l, unsigned cpu)
{
	int slot;

	if (cpu >= l->place.cpus)
		return -ENOENT;
	spin_lock(&l->lock);
	slot = pick(l, cpu);
	spin_unlock(&l->lock);
	return slot;
}

/*
 * The shortest way that put() and pick() can take: all that wait for @cpu are in one list, and
 * that is where @task goes too, which yields and ran here. Result: -EAGAIN: it is not so.
 */
static int rotate(struct levels *l, const struct sched_task *task, unsigned cpu) REQUIRES(l->lock)
{
	struct levels_queue *q = &l->queues[cpu];
	struct levels_slot *s = slot_of(l, task->slot), *first;
	uint64_t affinity = place_allowed(&l->place, task->affinity);
	unsigned level = level_of(task->priority);
	enum levels_kind kind = kind_of(affinity);
	struct levels_list *list = &q->lists[level][kind];
	uint32_t link = list->first;

	if (!link || q->used != 1u << level || q->lists[level][!kind].first || s->queue ||
	    task->last_cpu != cpu || !(affinity >> cpu & 1) || q->running != (int32_t)level)
		return -EAGAIN;
	first = slot_of(l, link - 1);
	s->affinity = affinity;
	s->level = level;
	s->queue = cpu + 1;
	s->order = q->order++;
	s->next = 0;
	s->before = list->last;
	slot_of(l, list->last - 1)->next = task->slot + 1;
	list->last = task->slot + 1;
	list->first = first->next;
	slot_of(l, list->first - 1)->before = 0; /* perhaps @task itself */
	first->queue = 0;
	return (int)link - 1;
}

int levels_replace(struct levels *l, const struct sched_task *task, enum sched_why why,
		   unsigned cpu, unsigned *ret_where)
{
	int slot = -EAGAIN;

	*ret_where = cpu;
	if (cpu >= l->place.cpus)
		return -ENOENT;
	spin_lock(&l->lock);
	if (why == SCHED_YIELD && task->slot < l->n_slots)
		slot = rotate(l, task, cpu);
	if (slot < 0) {
		if (task->slot < l->n_slots)
			*ret_where = put(l, task, why, cpu);
		slot = pick(l, cpu);
	}
	spin_unlock(&l->lock);
	return slot;
}

bool levels_contended(struct levels *l, unsigned cpu)
{
	return place_queued(&l->place, cpu) != 0;
}

uint64_t levels_tick(struct levels *l, unsigned cpu, uint64_t ran_ns)
{
	uint32_t used;
	int32_t running;

	if (!levels_contended(l, cpu))
		return LEVELS_SLICE_NS;
	used = __atomic_load_n(&l->queues[cpu].used, __ATOMIC_RELAXED);
	running = __atomic_load_n(&l->queues[cpu].running, __ATOMIC_RELAXED);
	if (used && (int32_t)highest(used) > running)
		return 0;
	return ran_ns >= LEVELS_SLICE_NS ? 0 : LEVELS_SLICE_NS - ran_ns;
}

int levels_helper(struct levels *l, unsigned cpu)
{
	int r = -ENOENT;

	if (cpu >= l->place.cpus || !__atomic_load_n(&l->place.idle, __ATOMIC_RELAXED) ||
	    !__atomic_load_n(&l->queues[cpu].n_movable, __ATOMIC_RELAXED))
		return -ENOENT;
	spin_lock(&l->lock);
	for (uint64_t rest = l->place.idle; rest && r < 0; rest &= rest - 1) {
		if (find_for(l, &l->queues[cpu], (unsigned)__builtin_ctzll(rest)) >= 0)
			r = __builtin_ctzll(rest);
	}
	spin_unlock(&l->lock);
	return r;
}

unsigned levels_queued(struct levels *l, unsigned cpu)
{
	return place_queued(&l->place, cpu);
}
