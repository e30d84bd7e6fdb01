/* SPDX-License-Identifier: MIT */
#include <theseus/upcall.h>

#include "test.h"

#define ROUNDS 2000u

static int64_t add(uint64_t i)
{
	struct sync_test *s = sync_test_state();
	uint64_t was;

	(void)i;
	for (unsigned n = 0; n < ROUNDS; n++) {
		if (mutex_lock(&s->mutex, CLOCK_NEVER) != 0)
			return -1;
		OWNED(mutex_drop) struct mutex *held = mutex_held(&s->mutex);
		was = __atomic_load_n(&s->count, __ATOMIC_RELAXED);
		if (n % 16 == 0)
			task_yield();
		__atomic_store_n(&s->count, was + 1, __ATOMIC_RELAXED);
	}
	return 0;
}
CELL_PROVIDE(task_ops, sync_add) = {.run = add};

static int excludes(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_add)) == 0);
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->count == ACTORS * ROUNDS);
	TEST_CHECK(test, s->mutex.owner == 0 && !s->mutex.queue.first);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_excludes) = {.run = excludes};

static int64_t wait_turn(uint64_t i)
{
	struct sync_test *s = sync_test_state();
	int r = mutex_lock(&s->mutex, CLOCK_NEVER);

	s->results[i] = r;
	if (r < 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&s->mutex);
	sync_arrive((unsigned)i);
	return 0;
}
CELL_PROVIDE(task_ops, sync_wait_turn) = {.run = wait_turn};

/* Nobody overtakes: not even who gives it back and wants it again at once. */
static int serves_in_order(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, mutex_lock(&s->mutex, CLOCK_NEVER) == 0);
	for (unsigned i = 0; i < ACTORS; i++) {
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_wait_turn)) == 0);
		sync_until_queued(&s->mutex.queue, i + 1);
	}
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, mutex_lock(&s->mutex, CLOCK_NEVER) == 0);
	TEST_CHECK(test, s->arrived == ACTORS);
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, s->order[i] == i);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_serves_in_order) = {.run = serves_in_order};

static int64_t keep(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	if (mutex_lock(&s->mutex, CLOCK_NEVER) < 0 || mutex_lock(&s->other, CLOCK_NEVER) < 0)
		return -1;
	sync_arrive((unsigned)i);
	if (task_sleep_until(CLOCK_NEVER) == -ECANCELED)
		TRAP("a task faults with two mutexes");
	return 0;
}
CELL_PROVIDE(task_ops, sync_keep) = {.run = keep};

static int refuses(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, sync_spawn(0, IFACE(task_ops, sync_keep)) == 0);
	sync_until_arrived(1);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == -ETIMEDOUT);
	TEST_CHECK(test, mutex_lock(&s->mutex, SOON) == -ETIMEDOUT);
	TEST_CHECK(test, !s->mutex.queue.first && !(s->mutex.owner & SYNC_WAITERS));
	TEST_CHECK(test, task_kill(s->tasks[0]) == 0);
	TEST_CHECK(test, sync_join(1, TASK_FAULTED) == 0);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == LOCK_ABANDONED);
	TEST_CHECK(test, mutex_lock(&s->mutex, CLOCK_NEVER) == -EDEADLK);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == -EDEADLK);
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == 0); /* it was told once */
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, mutex_lock(&s->other, 0) == LOCK_ABANDONED);
	(void)mutex_held(&s->other);
	mutex_unlock(&s->other);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_refuses) = {.run = refuses};

static int64_t keep_and_fault(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	if (mutex_lock(&s->mutex, CLOCK_NEVER) < 0)
		return -1;
	sync_arrive((unsigned)i);
	sync_until_queued(&s->mutex.queue, 2);
	TRAP("a task faults with a mutex");
}
CELL_PROVIDE(task_ops, sync_keep_and_fault) = {.run = keep_and_fault};

/* The first in line hears of it, the second does not. */
static int goes_on_after_fault(struct test *test)
{
	struct sync_test *s = sync_test_begin();
	struct task_exit exit;

	TEST_CHECK(test, sync_spawn(0, IFACE(task_ops, sync_keep_and_fault)) == 0);
	sync_until_arrived(1);
	TEST_CHECK(test, sync_spawn(1, IFACE(task_ops, sync_wait_turn)) == 0);
	sync_until_queued(&s->mutex.queue, 1);
	TEST_CHECK(test, sync_spawn(2, IFACE(task_ops, sync_wait_turn)) == 0);
	TEST_CHECK(test, task_join(s->tasks[0], CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_FAULTED);
	TEST_CHECK(test, task_join(s->tasks[1], CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, task_join(s->tasks[2], CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, s->results[1] == LOCK_ABANDONED && s->results[2] == 0);
	TEST_CHECK(test, s->mutex.owner == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_goes_on_after_fault) = {.run = goes_on_after_fault};

static int killed_waiter_leaves(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, mutex_lock(&s->mutex, CLOCK_NEVER) == 0);
	for (unsigned i = 0; i < 3; i++) {
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_wait_turn)) == 0);
		sync_until_queued(&s->mutex.queue, i + 1);
	}
	TEST_CHECK(test, task_kill(s->tasks[1]) == 0);
	sync_until_queued(&s->mutex.queue, 2);
	TEST_CHECK(test, task_kill(s->tasks[2]) == 0);
	sync_until_queued(&s->mutex.queue, 1);
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, sync_join(3, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->results[0] == 0 && s->results[1] == -ECANCELED);
	TEST_CHECK(test, s->results[2] == -ECANCELED && s->mutex.owner == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_killed_waiter_leaves) = {.run = killed_waiter_leaves};

static int64_t unlock_foreign(uint64_t i) NO_THREAD_SAFETY
{
	(void)i;
	mutex_unlock(&sync_test_state()->mutex);
	return 0;
}
CELL_PROVIDE(task_ops, sync_unlock_foreign) = {.run = unlock_foreign};

static int refuses_foreign_unlock(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, mutex_lock(&s->mutex, CLOCK_NEVER) == 0);
	TEST_CHECK(test, sync_spawn(0, IFACE(task_ops, sync_unlock_foreign)) == 0);
	TEST_CHECK(test, sync_join(1, TASK_FAULTED) == 0);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == -EDEADLK);
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_refuses_foreign_unlock) = {.run = refuses_foreign_unlock};

/* In any order, and one more than a task may hold. */
static int counts_what_is_held(struct test *test)
{
	static const unsigned n = SYNC_HELD_MAX;
	struct mutex locks[SYNC_HELD_MAX + 1] = {{.owner = 0}};

	sync_test_begin();
	for (unsigned i = 0; i < n; i++)
		TEST_CHECK(test, mutex_lock(&locks[i], CLOCK_NEVER) == 0);
	TEST_CHECK(test, mutex_lock(&locks[n], CLOCK_NEVER) == -ENOLCK);
	for (unsigned i = 0; i < n; i += 2) {
		(void)mutex_held(&locks[i]);
		mutex_unlock(&locks[i]);
	}
	TEST_CHECK(test, mutex_lock(&locks[n], CLOCK_NEVER) == 0);
	(void)mutex_held(&locks[n]);
	mutex_unlock(&locks[n]);
	for (unsigned i = 1; i < n; i += 2) {
		(void)mutex_held(&locks[i]);
		mutex_unlock(&locks[i]);
	}
	for (unsigned i = 0; i <= n; i++)
		TEST_CHECK(test, locks[i].owner == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mutex_counts_what_is_held) = {.run = counts_what_is_held};
