/* SPDX-License-Identifier: MIT */
/* What the checked build finds (theseus/lock-order.h): each is a fault of the task that did it. */
#include <string.h>
#include <theseus/upcall.h>

#include "test.h"

#ifdef THESEUS_CHECKED
#define CHECKED true
#else
#define CHECKED false
#endif

static void take_mutexes(struct mutex *first, struct mutex *second)
{
	if (mutex_lock(first, CLOCK_NEVER) < 0)
		return;
	OWNED(mutex_drop) struct mutex *one = mutex_held(first);
	if (mutex_lock(second, CLOCK_NEVER) < 0)
		return;
	OWNED(mutex_drop) struct mutex *two = mutex_held(second);
}

static void take_rwlock_in_mutex(struct sync_test *s)
{
	if (mutex_lock(&s->mutex, CLOCK_NEVER) < 0)
		return;
	OWNED(mutex_drop) struct mutex *one = mutex_held(&s->mutex);
	if (rwlock_read(&s->rwlock, CLOCK_NEVER) < 0)
		return;
	OWNED(rwlock_drop) struct rwlock *two = rwlock_read_held(&s->rwlock);
}

static void take_other_in_rwlock(struct sync_test *s)
{
	if (rwlock_write(&s->rwlock, CLOCK_NEVER) < 0)
		return;
	OWNED(rwlock_drop) struct rwlock *one = rwlock_write_held(&s->rwlock);
	if (mutex_lock(&s->other, CLOCK_NEVER) < 0)
		return;
	OWNED(mutex_drop) struct mutex *two = mutex_held(&s->other);
}

static void take_spinlocks(struct spinlock *first, struct spinlock *second)
{
	spin_lock(first);
	spin_lock(second);
	spin_unlock(second);
	spin_unlock(first);
}

enum mistake {
	SPINLOCKS_REVERSED,
	SPINLOCK_TWICE,
	MUTEXES_REVERSED,
	CYCLE_OF_THREE,
	BLOCKS_WITH_SPINLOCK,
	LOCKS_WITH_SPINLOCK,
	BLOCKS_MASKED,
	ENDS_WITH_MUTEX,
	MISTAKES,
};

static const char *const findings[MISTAKES] = {
	[SPINLOCKS_REVERSED] =
		"trap: lock order: test/order.c:# after test/order.c:#, elsewhere before",
	[SPINLOCK_TWICE] = "trap: lock order: test/order.c:# taken again by who holds it",
	[MUTEXES_REVERSED] =
		"trap: lock order: test/order.c:# after test/order.c:#, elsewhere before",
	[CYCLE_OF_THREE] =
		"trap: lock order: test/order.c:# after test/order.c:#, elsewhere before",
	[BLOCKS_WITH_SPINLOCK] =
		"trap: lock order: task/sleep.c:# may block, spinlock test/order.c:# is held",
	[LOCKS_WITH_SPINLOCK] =
		"trap: lock order: test/order.c:# may block, spinlock test/order.c:# is held",
	[BLOCKS_MASKED] = "trap: lock order: task/sleep.c:# may block, upcalls are masked",
	[ENDS_WITH_MUTEX] = "trap: lock order: a task ends, test/order.c:# is held",
};

static int64_t err(uint64_t mistake) NO_THREAD_SAFETY
{
	struct sync_test *s = sync_test_state();

	switch ((enum mistake)mistake) {
	case SPINLOCKS_REVERSED:
		take_spinlocks(&s->spin, &s->spin_other);
		take_spinlocks(&s->spin_other, &s->spin);
		break;
	case SPINLOCK_TWICE:
		take_spinlocks(&s->spin, &s->spin);
		break;
	case MUTEXES_REVERSED:
		take_mutexes(&s->mutex, &s->other);
		take_mutexes(&s->other, &s->mutex);
		break;
	case CYCLE_OF_THREE:
		take_rwlock_in_mutex(s);
		take_other_in_rwlock(s);
		take_mutexes(&s->other, &s->mutex);
		break;
	case BLOCKS_WITH_SPINLOCK:
		spin_lock(&s->spin);
		return task_event_wait(&s->event, task_event_count(&s->event), SOON);
	case LOCKS_WITH_SPINLOCK:
		spin_lock(&s->spin);
		return mutex_lock(&s->mutex, CLOCK_NEVER);
	case BLOCKS_MASKED:
		upcall_mask();
		return task_event_wait(&s->event, task_event_count(&s->event), SOON);
	case ENDS_WITH_MUTEX:
		return mutex_lock(&s->mutex, CLOCK_NEVER);
	default:
		break;
	}
	return 0;
}
CELL_PROVIDE(task_ops, sync_err) = {.run = err};

/* @pattern with # for a number. */
static bool matches(const char *text, const char *pattern)
{
	while (*pattern) {
		if (*pattern == '#') {
			if (*text < '0' || *text > '9')
				return false;
			while (*text >= '0' && *text <= '9')
				text++;
			pattern++;
		} else if (*text++ != *pattern++) {
			return false;
		}
	}
	return *text == '\0';
}

static int finds_mistakes(struct test *test)
{
	struct sync_test *s = sync_test_begin();
	struct upcall_fault fault;
	struct task_exit exit;

	if (!CHECKED)
		TEST_SKIP(test, "this build does not check the order of locks");
	for (unsigned i = 0; i < MISTAKES; i++) {
		TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, sync_err), i, &s->tasks[0]) == 0);
		TEST_CHECK(test, task_join(s->tasks[0], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED);
		TEST_CHECK(test, upcall_fault_get(exit.fault, &fault) == 0);
		if (!matches(fault.reason, findings[i]))
			return test_end(test, TEST_FAILED, fault.reason);
		/* nothing stayed locked */
		TEST_CHECK(test, (s->spin.held & 1) == 0 && (s->spin_other.held & 1) == 0);
		TEST_CHECK(test, (s->mutex.owner & ~SYNC_FLAGS) == 0);
		TEST_CHECK(test, (s->other.owner & ~SYNC_FLAGS) == 0 && s->rwlock.holder == 0);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, lock_order_finds_mistakes) = {.run = finds_mistakes};

/* In ascending order of address, or without waiting, locks of one place are fine. */
static int accepts_right_use(struct test *test)
{
	struct mutex locks[3] = {{.owner = 0}};
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < 3; i++)
		TEST_CHECK(test, mutex_lock(&locks[i], CLOCK_NEVER) == 0);
	for (unsigned i = 0; i < 3; i++) {
		(void)mutex_held(&locks[i]);
		mutex_unlock(&locks[i]);
	}
	for (unsigned i = 3; i-- > 0;)
		TEST_CHECK(test, mutex_lock(&locks[i], 0) == 0);
	for (unsigned i = 0; i < 3; i++) {
		(void)mutex_held(&locks[i]);
		mutex_unlock(&locks[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		take_mutexes(&s->mutex, &s->other);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, lock_order_accepts_right_use) = {.run = accepts_right_use};
