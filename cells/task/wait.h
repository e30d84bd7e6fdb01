/* SPDX-License-Identifier: MIT */
/*
 * The record of one wait. Signal, deadline, kill and restart compete to end it: exactly one
 * wins, and it is the winner who makes the task runnable. Pure.
 */
#ifndef TASK_WAIT_H
#define TASK_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "timer.h"

enum wait_status {
	WAIT_NONE = 0,
	WAIT_WAITING = 1,
	WAIT_ENDED = 2,
};

struct task_event;

struct wait {
	uint64_t word;            /* result << 32 | enum wait_status: ends in one step */
	struct task_event *event; /* that it is linked to */
	uint32_t next, before;    /* slot + 1 of the neighbours among that event's waiters */
	uint32_t linked;
	struct timer timer;
	uint32_t timer_cpu;
};

static inline void wait_begin(struct wait *w)
{
	__atomic_store_n(&w->word, WAIT_WAITING, __ATOMIC_SEQ_CST);
}

/* True: this call ended the wait, with @result; the caller makes the task runnable. */
static inline bool wait_end(struct wait *w, int result)
{
	uint64_t expected = WAIT_WAITING;

	return __atomic_compare_exchange_n(&w->word, &expected,
					   (uint64_t)(uint32_t)result << 32 | WAIT_ENDED, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Of a wait that ended: its result; the record is ready for the next one. */
static inline int wait_take(struct wait *w)
{
	uint64_t word = __atomic_load_n(&w->word, __ATOMIC_ACQUIRE);

	/* nobody else changes the word of a wait that has ended */
	__atomic_store_n(&w->word, WAIT_NONE, __ATOMIC_RELAXED);
	return (int)(int32_t)(word >> 32);
}

/*
 * Who waits for an event: a list by slots, under the event's lock. @of: the wait of a slot.
 * Whoever is in it takes itself out under that lock when its wait is over, unless it sees that it
 * is out already: then it goes on, to its next wait or to its end, without the lock.
 */
struct waiters {
	uint32_t *first, *last; /* slot + 1; 0 = none */
	struct wait *(*of)(uint32_t slot);
};

static inline void waiters_append(struct waiters list, uint32_t slot)
{
	struct wait *w = list.of(slot);

	w->next = 0;
	w->before = *list.last;
	if (*list.last)
		list.of(*list.last - 1)->next = slot + 1;
	else
		*list.first = slot + 1;
	*list.last = slot + 1;
	w->linked = 1;
}

static inline void waiters_remove(struct waiters list, struct wait *w)
{
	if (w->before)
		list.of(w->before - 1)->next = w->next;
	else
		*list.first = w->next;
	if (w->next)
		list.of(w->next - 1)->before = w->before;
	else
		*list.last = w->before;
	/* from here on its wait does not look at the event again */
	__atomic_store_n(&w->linked, 0, __ATOMIC_RELEASE);
}

/*
 * Takes out the first of a list that is not empty, and ends its wait with @result. True: this call
 * did, and the caller makes *ret_slot runnable. The end comes before the taking out: after that
 * the record may be in its next wait.
 */
static inline bool waiters_end_first(struct waiters list, int result, uint32_t *ret_slot)
{
	struct wait *w = list.of(*list.first - 1);
	bool ended;

	*ret_slot = *list.first - 1;
	ended = wait_end(w, result);
	waiters_remove(list, w);
	return ended;
}

#endif
