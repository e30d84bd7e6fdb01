/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of one CPU, the next one first. Pure; the caller locks. Few tasks wait with a
 * deadline at once, so insertion walks the list.
 */
#ifndef TASK_TIMER_H
#define TASK_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lies in what waits; all zero is one that is not queued. */
struct timer {
	struct timer *next, *before; /* before: of the first one NULL */
	uint64_t deadline_ns;
	bool queued;
};

struct timer_queue {
	struct timer *first;
};

/* Equal deadlines come in the order they were added. @timer is not queued; borrowed until it
 * leaves. */
static inline void timer_add(struct timer_queue *q, struct timer *timer, uint64_t deadline_ns)
{
	struct timer *before = NULL, *next = q->first;

	while (next && next->deadline_ns <= deadline_ns) {
		before = next;
		next = next->next;
	}
	*timer = (struct timer){
		.next = next, .before = before, .deadline_ns = deadline_ns, .queued = true};
	if (before)
		before->next = timer;
	else
		q->first = timer;
	if (next)
		next->before = timer;
}

/* No effect on one that is not queued. */
static inline void timer_remove(struct timer_queue *q, struct timer *timer)
{
	if (!timer->queued)
		return;
	if (timer->before)
		timer->before->next = timer->next;
	else
		q->first = timer->next;
	if (timer->next)
		timer->next->before = timer->before;
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
