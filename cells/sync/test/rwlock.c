/* SPDX-License-Identifier: MIT */
#include "test.h"

#define ROUNDS 1000u

static int64_t read_turn(uint64_t i)
{
	struct sync_test *s = sync_test_state();
	int r = rwlock_read(&s->rwlock, CLOCK_NEVER);

	s->results[i] = r;
	if (r < 0)
		return r;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_read_held(&s->rwlock);
	sync_arrive((unsigned)i);
	return 0;
}
CELL_PROVIDE(task_ops, sync_read_turn) = {.run = read_turn};

static int64_t write_turn(uint64_t i)
{
	struct sync_test *s = sync_test_state();
	int r = rwlock_write(&s->rwlock, CLOCK_NEVER);

	s->results[i] = r;
	if (r < 0)
		return r;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&s->rwlock);
	sync_arrive((unsigned)i);
	return 0;
}
CELL_PROVIDE(task_ops, sync_write_turn) = {.run = write_turn};

/* Readers share; a writer waits for them, and readers who come later wait for the writer. */
static int serves_in_order(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, rwlock_read(&s->rwlock, CLOCK_NEVER) == 0);
	TEST_CHECK(test, sync_spawn(0, IFACE(task_ops, sync_read_turn)) == 0);
	sync_until_arrived(1);
	TEST_CHECK(test, sync_spawn(1, IFACE(task_ops, sync_write_turn)) == 0);
	sync_until_queued(&s->rwlock.queue, 1);
	TEST_CHECK(test, sync_spawn(2, IFACE(task_ops, sync_read_turn)) == 0);
	sync_until_queued(&s->rwlock.queue, 2);
	TEST_CHECK(test, s->arrived == 1);
	(void)rwlock_read_held(&s->rwlock);
	rwlock_unlock(&s->rwlock);
	TEST_CHECK(test, sync_join(3, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->order[1] == 1 && s->order[2] == 2);
	TEST_CHECK(test, s->rwlock.holder == 0 && !s->rwlock.queue.first);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_serves_in_order) = {.run = serves_in_order};

/* A writer that gives up lets the readers behind it in. */
static int lets_in_behind_who_left(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, rwlock_read(&s->rwlock, CLOCK_NEVER) == 0);
	TEST_CHECK(test, sync_spawn(0, IFACE(task_ops, sync_write_turn)) == 0);
	sync_until_queued(&s->rwlock.queue, 1);
	for (unsigned i = 1; i < ACTORS; i++)
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_read_turn)) == 0);
	sync_until_queued(&s->rwlock.queue, ACTORS);
	TEST_CHECK(test, task_kill(s->tasks[0]) == 0);
	sync_until_arrived(ACTORS - 1);
	(void)rwlock_read_held(&s->rwlock);
	rwlock_unlock(&s->rwlock);
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->results[0] == -ECANCELED && s->rwlock.holder == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_lets_in_behind_who_left) = {.run = lets_in_behind_who_left};

static int refuses(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	TEST_CHECK(test, rwlock_read(&s->rwlock, 0) == 0);
	TEST_CHECK(test, rwlock_read(&s->rwlock, CLOCK_NEVER) == -EDEADLK);
	TEST_CHECK(test, rwlock_write(&s->rwlock, CLOCK_NEVER) == -EDEADLK);
	(void)rwlock_read_held(&s->rwlock);
	rwlock_unlock(&s->rwlock);
	TEST_CHECK(test, rwlock_write(&s->rwlock, 0) == 0);
	TEST_CHECK(test, rwlock_read(&s->rwlock, CLOCK_NEVER) == -EDEADLK);
	TEST_CHECK(test, rwlock_write(&s->rwlock, 0) == -EDEADLK);
	(void)rwlock_write_held(&s->rwlock);
	rwlock_unlock(&s->rwlock);
	TEST_CHECK(test, s->rwlock.holder == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_refuses) = {.run = refuses};

static int64_t keep_read(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	if (rwlock_read(&s->rwlock, CLOCK_NEVER) < 0)
		return -1;
	sync_arrive((unsigned)i);
	sync_until_queued(&s->rwlock.queue, 1);
	TRAP("a task faults as a reader");
}
CELL_PROVIDE(task_ops, sync_keep_read) = {.run = keep_read};

static int64_t keep_write(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	if (rwlock_write(&s->rwlock, CLOCK_NEVER) < 0)
		return -1;
	sync_arrive((unsigned)i);
	sync_until_queued(&s->rwlock.queue, 1);
	TRAP("a task faults as the writer");
}
CELL_PROVIDE(task_ops, sync_keep_write) = {.run = keep_write};

static int goes_on_after_fault(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < 2; i++) {
		TEST_CHECK(test, sync_spawn(0, i ? IFACE(task_ops, sync_keep_write)
						 : IFACE(task_ops, sync_keep_read)) == 0);
		sync_until_arrived(i * 2 + 1);
		TEST_CHECK(test, sync_spawn(1, IFACE(task_ops, sync_write_turn)) == 0);
		TEST_CHECK(test, sync_join(1, TASK_FAULTED) == 0);
		s->tasks[0] = s->tasks[1];
		TEST_CHECK(test, sync_join(1, TASK_COMPLETED) == 0);
		TEST_CHECK(test, s->results[1] == (i ? LOCK_ABANDONED : 0));
		TEST_CHECK(test, s->rwlock.holder == 0);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_goes_on_after_fault) = {.run = goes_on_after_fault};

/* Two words that writers change together, and readers always see together. */
static int64_t mixed(uint64_t i)
{
	struct sync_test *s = sync_test_state();
	uint64_t a, b;

	for (unsigned n = 0; n < ROUNDS; n++) {
		if ((n + i) % 4 == 0) {
			if (rwlock_write(&s->rwlock, CLOCK_NEVER) < 0)
				return -1;
			OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&s->rwlock);
			__atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
			if (n % 16 == 0)
				task_yield();
			__atomic_fetch_add(&s->order[0], 1, __ATOMIC_RELAXED);
		} else {
			if (rwlock_read(&s->rwlock, CLOCK_NEVER) < 0)
				return -1;
			OWNED(rwlock_drop) struct rwlock *held = rwlock_read_held(&s->rwlock);
			a = __atomic_load_n(&s->count, __ATOMIC_RELAXED);
			if (n % 16 == 1)
				task_yield();
			b = __atomic_load_n(&s->order[0], __ATOMIC_RELAXED);
			if (a != b)
				s->results[i] = -1;
		}
	}
	return 0;
}
CELL_PROVIDE(task_ops, sync_mixed) = {.run = mixed};

static int separates(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_mixed)) == 0);
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, s->results[i] == 0);
	TEST_CHECK(test, s->count == ACTORS * ROUNDS / 4 && s->rwlock.holder == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_separates) = {.run = separates};
