/* SPDX-License-Identifier: MIT */
#ifndef SYNC_TEST_H
#define SYNC_TEST_H

#include <theseus/sync.h>
#include <theseus/test.h>

#define ACTORS 4u

/* What the tests of this cell share with their tasks. Each test begins with sync_test_begin(). */
struct sync_test {
	struct mutex mutex, other;
	struct rwlock rwlock;
	struct semaphore semaphore;
	struct once once;
	struct spinlock spin, spin_other;
	struct task_event event;
	struct task_ref tasks[ACTORS];
	uint32_t order[ACTORS], arrived; /* atomic */
	int32_t results[ACTORS];
	uint64_t count;
};

struct sync_test *sync_test_state(void);
/* The same, all zero. */
struct sync_test *sync_test_begin(void);

/* Starts actor @i at @entry with @i for argument. */
int sync_spawn(unsigned i, struct task_ops_h entry) MUST_USE;
/* Joins the first @n. Result: 0 if all came to the end @end. */
int sync_join(unsigned n, enum task_end end) MUST_USE;
/* Lets others run until @queue has @n waiting. */
void sync_until_queued(struct sync_queue *queue, unsigned n);
/* Says that this happened, and when among others. */
void sync_arrive(unsigned i);
/* Waits for the @n-th arrival. */
void sync_until_arrived(unsigned n);

#define SOON clock_after(2000000)

#endif
