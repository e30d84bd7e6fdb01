/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_TEST_H
#define UNWIND_TEST_H

#include <theseus/mapped.h>
#include <theseus/sync.h>
#include <theseus/task.h>
#include <theseus/test.h>

#define LEVELS 3u /* frames with a cleanup each, between a task's entry and what it does */

/* What the tests share with the tasks that they end. Each begins with unwind_test_begin(). */
struct unwind_test {
	uint32_t drops[LEVELS]; /* times that the cleanup of each frame ran; atomic */
	uint32_t entered;       /* frames of a recursion; atomic */
	uint32_t left;          /* and how many of their cleanups ran */
	uint32_t reached;       /* what a task has come to; atomic */
	uint32_t told;          /* kills that blocking calls or kill points told of */
	uint32_t after;         /* code ran that unwinding should have skipped */
	uint32_t on;            /* tasks go on while it is set */
	struct task_ref joined;
	struct mapped region;
	struct task_event event;
	struct spinlock spin;
	struct mutex mutex;
	struct rwlock rwlock;
	struct semaphore semaphore;
};

struct unwind_test *unwind_test_state(void);
/* The same, all zero. */
struct unwind_test *unwind_test_begin(void);

/* Says how far the task has come; wakes who waits for that. */
void unwind_test_reach(uint32_t what);
/* Waits until something has come that far. Result: 0, -ETIMEDOUT, -ECANCELED. */
int unwind_test_await(uint32_t what) MUST_USE;

/* Calls @leaf below LEVELS frames. */
int64_t unwind_test_descend(int64_t (*leaf)(void));

/* Spawns @entry and joins it. Result: as task_spawn() or task_join(). */
int unwind_test_run(struct task_ops_h entry, struct task_exit *ret_exit) MUST_USE;
int unwind_test_join(struct task_ref task, struct task_exit *ret_exit) MUST_USE;

/* Whether each cleanup has run that often, and nothing went on behind. */
bool unwind_test_dropped(uint32_t times);

#define UNWIND_TEST_LIMIT clock_after(20 * CLOCK_S) /* for what must come */

#endif
