/* SPDX-License-Identifier: MIT */
/* Tests that are not ok, each in a way of its own: the runner has to say so of every one. */
#include <theseus/test.h>

#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/task.h>
#include <theseus/trap.h>

CELL_INFO(.name = "bad_test", .version = "1.0.0", .summary = "tests that fail in every way",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "commits undefined behaviour for the checks to find",
	  .quiescence = CELL_QUIESCE_ANY);

struct bad_state {
	void *block; /* lost: nobody frees it */
	struct mapped region;
	struct task_event never;
};
CELL_STATE(struct bad_state, bad);

static int checks(struct test *test)
{
	TEST_CHECK(test, bad.never.count == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, bad_checks) = {.run = checks};

static int returns_error(struct test *test)
{
	(void)test;
	return -EIO;
}
CELL_PROVIDE(test_ops, bad_returns_error) = {.run = returns_error};

static int skips(struct test *test)
{
	TEST_SKIP(test, "not on a day like this");
}
CELL_PROVIDE(test_ops, bad_skips) = {.run = skips};

static int faults(struct test *test)
{
	(void)test;
	TRAP("planted");
}
CELL_PROVIDE(test_ops, bad_faults) = {.run = faults};

static int is_killed(struct test *test)
{
	(void)test;
	task_kill(task_self());
	return task_sleep_until(CLOCK_NEVER);
}
CELL_PROVIDE(test_ops, bad_is_killed) = {.run = is_killed};

static int loses_block(struct test *test)
{
	bad.block = heap_alloc(CELL_SELF, 100);
	TEST_CHECK(test, bad.block);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, bad_loses_block) = {.run = loses_block};

static int loses_region(struct test *test)
{
	TEST_CHECK(test, mapped_create(MAPPED_DATA, 3 * PAGE_SIZE, &bad.region) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, bad_loses_region) = {.run = loses_region};

static int64_t wait_run(uint64_t arg)
{
	(void)arg;
	return task_event_wait(&bad.never, 0, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, bad_wait) = {.run = wait_run};

static int loses_task(struct test *test)
{
	const struct task_attr attr = {.detached = true};
	struct task_ref task;

	TEST_CHECK(test, task_spawn(&attr, IFACE(task_ops, bad_wait), 0, &task) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, bad_loses_task) = {.run = loses_task};
