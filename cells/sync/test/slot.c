/* SPDX-License-Identifier: MIT */
/*
 * The id of a task in slot 0 is its generation << 32, which without the flag beside it is the
 * word of an rwlock with as many readers: the two must not be taken for one another.
 */
#include "test.h"

/* Anybody but who is in slot 0 leaves at once; that one reads until it is told to unlock. */
static int64_t read_in_slot_0(uint64_t arg)
{
	struct sync_test *s = sync_test_state();

	(void)arg;
	if (task_self().slot != 0)
		return 0;
	if (rwlock_read(&s->rwlock, CLOCK_NEVER) < 0)
		return -1;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_read_held(&s->rwlock);
	sync_arrive(0);
	sync_until_arrived(2);
	return 0;
}
CELL_PROVIDE(task_ops, sync_read_in_slot_0) = {.run = read_in_slot_0};

static int64_t write_behind(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	if (rwlock_write(&s->rwlock, CLOCK_NEVER) < 0)
		return -1;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&s->rwlock);
	s->count = i;
	return 0;
}
CELL_PROVIDE(task_ops, sync_write_behind) = {.run = write_behind};

/* Slots are taken in turns: somebody comes to 0. Result: 0, -ENOENT: a task stays there; -1. */
static int until_slot_0(struct task_ref *ret_task)
{
	struct task_exit exit;

	for (unsigned i = 0; i < 2 * TASKS_MAX; i++) {
		if (task_spawn(NULL, IFACE(task_ops, sync_read_in_slot_0), 0, ret_task) < 0)
			return -1;
		if (ret_task->slot == 0)
			return 0;
		if (task_join(*ret_task, CLOCK_NEVER, &exit) < 0)
			return -1;
	}
	return -ENOENT;
}

static int tells_slot_0_from_readers(struct test *test)
{
	struct sync_test *s = sync_test_begin();
	uint64_t others; /* readers that are there in number only */
	int r;

	TEST_CHECK(test, rwlock_read(&s->rwlock, CLOCK_NEVER) == 0);
	r = until_slot_0(&s->tasks[0]);
	if (r == -ENOENT || (r == 0 && s->tasks[0].generation < 2))
		TEST_SKIP(test, "slot 0 is not to be had");
	TEST_CHECK(test, r == 0);
	sync_until_arrived(1);
	others = (s->tasks[0].generation - 2) * SYNC_READER; /* with this and that one: as its id */
	__atomic_fetch_add(&s->rwlock.holder, others, __ATOMIC_RELAXED);
	TEST_CHECK(test, s->rwlock.holder == (task_id(s->tasks[0]) | SYNC_READERS));
	TEST_CHECK(test, sync_spawn(1, IFACE(task_ops, sync_write_behind)) == 0);
	sync_until_queued(&s->rwlock.queue, 1);
	sync_arrive(1);
	TEST_CHECK(test, sync_join(1, TASK_COMPLETED) == 0);
	__atomic_fetch_sub(&s->rwlock.holder, others, __ATOMIC_RELAXED);
	TEST_CHECK(test, s->rwlock.holder == (SYNC_READER | SYNC_READERS | SYNC_WAITERS));
	TEST_CHECK(test, s->count == 0);
	(void)rwlock_read_held(&s->rwlock);
	rwlock_unlock(&s->rwlock);
	s->tasks[0] = s->tasks[1];
	TEST_CHECK(test, sync_join(1, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->rwlock.holder == 0 && s->count == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, rwlock_tells_slot_0_apart) = {.run = tells_slot_0_from_readers};
