/* SPDX-License-Identifier: MIT */
#include "test.h"

#define ROUNDS 1000u

static int64_t wait_unit(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	s->results[i] = semaphore_wait(&s->semaphore, CLOCK_NEVER);
	sync_arrive((unsigned)i);
	return 0;
}
CELL_PROVIDE(task_ops, sync_wait_unit) = {.run = wait_unit};

static int counts(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	s->semaphore = SEMAPHORE_INIT(1);
	TEST_CHECK(test, semaphore_wait(&s->semaphore, CLOCK_NEVER) == 0);
	TEST_CHECK(test, semaphore_wait(&s->semaphore, 0) == -ETIMEDOUT);
	TEST_CHECK(test, semaphore_wait(&s->semaphore, SOON) == -ETIMEDOUT);
	TEST_CHECK(test, semaphore_post(&s->semaphore) == 0 && s->semaphore.count == 1);
	s->semaphore.count = SEMAPHORE_MAX;
	TEST_CHECK(test, semaphore_post(&s->semaphore) == -EOVERFLOW);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, semaphore_counts) = {.run = counts};

/* A unit goes to who waits longest; one who was killed takes none along. */
static int serves_in_order(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < ACTORS; i++) {
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_wait_unit)) == 0);
		sync_until_queued(&s->semaphore.queue, i + 1);
	}
	TEST_CHECK(test, task_kill(s->tasks[0]) == 0);
	sync_until_arrived(1);
	for (unsigned i = 1; i < ACTORS; i++) {
		TEST_CHECK(test, semaphore_post(&s->semaphore) == 0);
		sync_until_arrived(i + 1);
	}
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, s->order[i] == i && s->results[i] == (i ? 0 : -ECANCELED));
	TEST_CHECK(test, s->semaphore.count == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, semaphore_serves_in_order) = {.run = serves_in_order};

static int64_t exchange(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	for (unsigned n = 0; n < ROUNDS; n++) {
		if (i % 2 == 0 && semaphore_post(&s->semaphore) < 0)
			return -1;
		if (i % 2 == 1 && semaphore_wait(&s->semaphore, CLOCK_NEVER) < 0)
			return -1;
	}
	return 0;
}
CELL_PROVIDE(task_ops, sync_exchange) = {.run = exchange};

static int loses_no_unit(struct test *test)
{
	struct sync_test *s = sync_test_begin();

	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_exchange)) == 0);
	TEST_CHECK(test, sync_join(ACTORS, TASK_COMPLETED) == 0);
	TEST_CHECK(test, s->semaphore.count == 0 && !s->semaphore.queue.first);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, semaphore_loses_no_unit) = {.run = loses_no_unit};

/* ---- once ---- */

static int initialise(void *arg)
{
	struct sync_test *s = arg;
	uint64_t tries = __atomic_add_fetch(&s->count, 1, __ATOMIC_RELAXED);

	task_yield();
	if (tries == 1)
		return -EIO;
	if (tries == 2)
		TRAP("an initialiser faults");
	return 0;
}

static int64_t call_once(uint64_t i)
{
	struct sync_test *s = sync_test_state();

	s->results[i] = 1;
	s->results[i] = once(&s->once, initialise, s, CLOCK_NEVER);
	return 0;
}
CELL_PROVIDE(task_ops, sync_call_once) = {.run = call_once};

static int once_tries_until_done(struct test *test)
{
	struct sync_test *s = sync_test_begin();
	unsigned done = 0, refused = 0, faulted = 0;
	struct task_exit exit;

	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, sync_spawn(i, IFACE(task_ops, sync_call_once)) == 0);
	for (unsigned i = 0; i < ACTORS; i++) {
		TEST_CHECK(test, task_join(s->tasks[i], CLOCK_NEVER, &exit) == 0);
		done += exit.end == TASK_COMPLETED && s->results[i] == 0;
		refused += exit.end == TASK_COMPLETED && s->results[i] == -EIO;
		faulted += exit.end == TASK_FAULTED;
	}
	TEST_CHECK(test, refused == 1 && faulted == 1 && done == ACTORS - 2);
	TEST_CHECK(test, s->count == 3 && s->once.done && s->once.mutex.owner == 0);
	TEST_CHECK(test, once(&s->once, initialise, s, 0) == 0 && s->count == 3);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, once_tries_until_done) = {.run = once_tries_until_done};
