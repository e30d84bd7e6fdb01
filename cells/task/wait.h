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
	uint64_t word = __atomic_exchange_n(&w->word, WAIT_NONE, __ATOMIC_ACQUIRE);

	return (int)(int32_t)(word >> 32);
}

#endif
