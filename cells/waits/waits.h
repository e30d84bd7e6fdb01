/* SPDX-License-Identifier: MIT */
#ifndef WAITS_H
#define WAITS_H

#include <theseus/channel.h>
#include <theseus/command.h>
#include <theseus/sync.h>
#include <theseus/task.h>

#define CHANNELS 8u
#define BLOCKED_MAX 32u
#define LOAD_MAX 24u
#define PRODUCERS 6u
#define LIMIT_NS (60 * CLOCK_S) /* for what others have to do */

struct message {
	uint64_t producer, number;
};

struct waits_state {
	uint32_t n_wrong;
	char wrong[120]; /* the first */

	struct channel_end send[CHANNELS], receive[CHANNELS];
	struct mutex mutex;
	struct rwlock rwlock;
	struct semaphore semaphore;
	struct once once;

	/* one wait each, in the order in which they began */
	uint32_t n_blocked;
	struct task_ref blocked[BLOCKED_MAX];
	uint64_t began_ns;
	uint32_t go;             /* atomic: who holds a lock lets go */
	struct task_event going;
	uint32_t inits;          /* of the once */
	uint32_t turn[3];        /* who got it how: mutex, rwlock, semaphore; atomic */

	/* many, again and again */
	uint32_t n_load, n_producers;
	uint32_t stop; /* atomic */
	struct task_ref load[LOAD_MAX];
	uint64_t sent[PRODUCERS], received[PRODUCERS];
	uint64_t locked, counted; /* under the mutex: by each alone, and by all */
	uint64_t left, right;     /* under the rwlock: equal */
	uint32_t inside;          /* atomic: units of the semaphore in use */
	uint64_t rounds;          /* atomic */
};

struct waits_state *waits(void);
/* Counts an error and keeps the first. */
void waits_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Channel @i, with ends that belong to this cell. */
int waits_channel(unsigned i, uint32_t capacity) MUST_USE;
void waits_close(void);

/* blocked.c: every kind of wait once; and what ends them, with a look at what came of it. */
int blocked_start(void) MUST_USE;
void blocked_finish(void);
/* How many of them wait at this moment. */
unsigned blocked_count(void);

/* load.c */
int load_start(void) MUST_USE;
void load_finish(void);

#endif
