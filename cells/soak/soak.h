/* SPDX-License-Identifier: MIT */
/*
 * Soak: drivers spawn children in every role there is, kill some of them and some of one
 * another's, and judge how each ended and whether it gave back what it held.
 *
 *	soak.c    the state, and the command
 *	driver.c  a driver's round: spawn, maybe kill, join, judge
 *	roles.c   what children do, and how they end by themselves
 *	shared.c  what all children use together
 */
#ifndef SOAK_H
#define SOAK_H

#include <theseus/channel.h>
#include <theseus/clock.h>
#include <theseus/heap.h>
#include <theseus/sync.h>
#include <theseus/task.h>

#define DRIVERS_MAX 16u
#define CHANNELS 2u
#define CHILDREN_EACH 3u /* of a driver at a time */

/* How a role ends when nobody kills it. */
enum role_end {
	ENDS_BY_ITSELF = TASK_COMPLETED,
	ENDS_BY_KILL = TASK_KILLED,
	ENDS_BY_FAULT = TASK_FAULTED,
};

struct child {
	uint64_t task;     /* id, 0 = none: for whoever kills somebody else's */
	uint32_t told;     /* somebody was about to kill it */
	uint32_t acquired; /* by the child, counted up before it holds something ... */
	uint32_t released; /* ... and in the cleanup that gives it back */
	uint32_t role;
	uint64_t random; /* of the child alone */
	struct task_event never;
};

struct role {
	const char *name;
	int64_t (*run)(struct child *child);
	enum role_end end;
	uint32_t weight; /* how often it is chosen */
};
extern const struct role roles[];
extern const unsigned n_roles;

struct driver {
	struct task_ref task;
	uint64_t random;
	uint64_t rounds;
	struct child children[CHILDREN_EACH];
};

/* Two numbers that are equal whenever nobody holds what guards them. */
struct pair {
	uint64_t a, b;
};

struct shared {
	struct mutex mutex;
	struct pair by_mutex;
	struct rwlock rwlock;
	struct pair by_rwlock;
	uint32_t rwlock_damaged; /* told to a reader: the pair may not be equal */
	struct spinlock spinlock;
	struct pair by_spinlock;
	struct semaphore semaphore;
	struct heap_type type; /* of the objects that children leave behind */
	struct {
		struct channel_end send, receive;
	} channels[CHANNELS]; /* a rendezvous and an asynchronous one */
};
#define SEMAPHORE_UNITS 2u

struct soak_counts {
	uint64_t spawned, completed, killed, by_ledger, faulted;
	uint64_t refused; /* spawns for want of memory or slots */
};

struct soak_state {
	uint32_t running, stop;
	uint32_t n_drivers;
	uint32_t n_wrong;
	char wrong[200]; /* the first thing that was */
	struct soak_counts counts;
	struct shared shared;
	struct driver drivers[DRIVERS_MAX];
};

struct soak_state *soak(void);

/* Something is not as it must be. Keeps the first, logs a few, counts all. */
void soak_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The next number of a sequence of its own; never 0 from a seed that is not. */
static inline uint64_t next_random(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* ---- driver.c ---- */

/* One round. Result: TASK_AGAIN, or 0 when it was told to stop. */
int64_t driver_round(struct driver *driver);

/* ---- roles.c ---- */

/* Holds something for the time of a scope; counted, so that a lost cleanup is found. */
static inline struct child *hold(struct child *child)
{
	__atomic_add_fetch(&child->acquired, 1, __ATOMIC_RELAXED);
	return child;
}
static inline void give_back(struct child **child)
{
	__atomic_add_fetch(&(*child)->released, 1, __ATOMIC_RELAXED);
}
#define HOLDING(child) OWNED(give_back) __attribute__((unused)) struct child *held_ = hold(child)

void fault_now(void); /* does not return, but the compiler need not know */

/* ---- shared.c ---- */

int shared_init(struct shared *shared) MUST_USE;
/* After all tasks ended: says what is held, does not balance or is left. */
void shared_check(struct shared *shared);

/* What the end of a child leaves to others: a unit of the semaphore belongs to nobody, nor does
 * the name of a file. */
void shared_clean(const struct child *child, uint64_t task, bool by_ledger);

int64_t use_mutex(struct child *child);
int64_t use_rwlock(struct child *child);
int64_t use_spinlock(struct child *child);
int64_t use_semaphore(struct child *child);
int64_t fault_with_mutex(struct child *child);
int64_t fault_with_rwlock(struct child *child);
int64_t fault_with_spinlock(struct child *child);
int64_t send_messages(struct child *child);
int64_t receive_messages(struct child *child);
int64_t leave_objects(struct child *child);
int64_t leave_region(struct child *child);
int64_t leave_file(struct child *child);

#endif
