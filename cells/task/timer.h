/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of one CPU, the next one first. A pairing heap that lies in its members: adding
 * is a few instructions, taking out is logarithmic on average, however many wait. Pure; the
 * caller locks.
 */
#ifndef TASK_TIMER_H
#define TASK_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lies in what waits; all zero is one that is not queued. */
struct timer {
	struct timer *child, *next;
	struct timer *before; /* whose next this is, of a first child its parent; root: NULL */
	uint64_t deadline_ns;
	uint64_t order; /* equal deadlines come in the order they were added */
	bool queued;
};

struct timer_queue {
	struct timer *first;
	uint64_t order;
};

static inline bool timer_before(const struct timer *a, const struct timer *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->order < b->order;
}

/* Of two heaps one; either may be NULL. */
static inline struct timer *timer_meld(struct timer *a, struct timer *b)
{
	struct timer *swap;

	if (!a || !b)
		return a ? a : b;
	if (timer_before(b, a)) {
		swap = a;
		a = b;
		b = swap;
	}
	b->before = a;
	b->next = a->child;
	if (b->next)
		b->next->before = b;
	a->child = b;
	a->next = NULL;
	a->before = NULL;
	return a;
}

/* Of the heaps in a list of siblings one: in pairs, then the pairs from the last to the first. */
static inline struct timer *timer_meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL, *heap = NULL, *a, *b;

	while (first) {
		a = first;
		b = a->next;
		first = b ? b->next : NULL;
		a = timer_meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		a = pairs;
		pairs = a->next;
		a->next = NULL;
		heap = timer_meld(heap, a);
	}
	if (heap)
		heap->before = NULL;
	return heap;
}

/* @timer is not queued; borrowed until it leaves. */
static inline void timer_add(struct timer_queue *q, struct timer *timer, uint64_t deadline_ns)
{
	*timer = (struct timer){.deadline_ns = deadline_ns, .order = q->order++, .queued = true};
	q->first = timer_meld(q->first, timer);
}

/* No effect on one that is not queued. */
static inline void timer_remove(struct timer_queue *q, struct timer *timer)
{
	struct timer *below;

	if (!timer->queued)
		return;
	below = timer_meld_siblings(timer->child);
	if (!timer->before) {
		q->first = below;
	} else {
		if (timer->before->child == timer)
			timer->before->child = timer->next;
		else
			timer->before->next = timer->next;
		if (timer->next)
			timer->next->before = timer->before;
		q->first = timer_meld(q->first, below);
	}
	timer->queued = false;
}

/* Takes out the first whose deadline has come, NULL when none has. */
static inline struct timer *timer_expired(struct timer_queue *q, uint64_t now_ns)
{
	struct timer *timer = q->first;

	if (!timer || timer->deadline_ns > now_ns)
		return NULL;
	timer_remove(q, timer);
	return timer;
}

/* The next deadline, UINT64_MAX when there is none. */
static inline uint64_t timer_next(const struct timer_queue *q)
{
	return q->first ? q->first->deadline_ns : UINT64_MAX;
}

#endif
