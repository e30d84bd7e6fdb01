/* SPDX-License-Identifier: MIT */
/* Ends that are no faults: return, task_exit(), kills. */
#include <theseus/switch.h>
#include <theseus/upcall.h>

#include "test.h"

/* Checks how @task ended, unwound, with @value. */
#define CHECK_ENDED(test, task, wanted, value_)                                                    \
	do {                                                                                       \
		struct task_exit exit_;                                                            \
		TEST_CHECK(test, unwind_test_join((task), &exit_) == 0);                           \
		TEST_CHECK(test, exit_.end == (wanted));                                           \
		TEST_CHECK(test, exit_.value == (value_));                                         \
		TEST_CHECK(test, !exit_.by_ledger);                                                \
	} while (0)

#define SPAWN(test, attr, name, ret_task)                                                          \
	TEST_CHECK(test, task_spawn((attr), IFACE(task_ops, name), 0, (ret_task)) == 0)

/* ---- by itself ---- */

static int64_t forty(void)
{
	return 40;
}

static int64_t return_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(forty) + 2;
}
CELL_PROVIDE(task_ops, unwind_returns) = {.run = return_run};

static int returns(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;

	SPAWN(test, NULL, unwind_returns, &task);
	CHECK_ENDED(test, task, TASK_COMPLETED, 42);
	TEST_CHECK(test, s->after == 1);
	s->after = 0;
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_end_by_return) = {.run = returns};

static int64_t exit_here(void)
{
	task_exit(7);
}

/* An exit goes through what protects: that is told, and returns. */
static int64_t exit_protected(void *arg)
{
	(void)arg;
	return unwind_test_descend(exit_here);
}

static int64_t exit_run(uint64_t arg)
{
	int64_t value;

	(void)arg;
	return switch_protect(exit_protected, NULL, &value) == -ECANCELED ? 1 : 2;
}
CELL_PROVIDE(task_ops, unwind_exits) = {.run = exit_run};

static int exits(struct test *test)
{
	struct task_ref task;

	(void)unwind_test_begin();
	SPAWN(test, NULL, unwind_exits, &task);
	CHECK_ENDED(test, task, TASK_COMPLETED, 7);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_end_by_exit) = {.run = exits};

/* ---- killed ---- */

/* Waits for what does not come, also when it was told that it is killed. */
static int64_t wait_on(void)
{
	struct task_event never = {.count = 0};
	struct unwind_test *s = unwind_test_state();

	unwind_test_reach(1);
	for (;;) {
		if (task_event_wait(&never, 0, CLOCK_NEVER) == -ECANCELED)
			s->told++;
	}
	return 0;
}

static int64_t blocked_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(wait_on);
}
CELL_PROVIDE(task_ops, unwind_blocks) = {.run = blocked_run};

static int kill_blocked(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;

	SPAWN(test, NULL, unwind_blocks, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	(void)task_kill(task); /* a second one changes nothing; it may have ended by now */
	CHECK_ENDED(test, task, TASK_KILLED, 0);
	TEST_CHECK(test, s->told == 1);
	TEST_CHECK(test, unwind_test_dropped(1));
	TEST_CHECK(test, task_kill(task) == -ESTALE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_blocked) = {.run = kill_blocked};

static int64_t poll(void)
{
	struct unwind_test *s = unwind_test_state();

	unwind_test_reach(1);
	for (;;) {
		if (task_kill_point())
			s->told++;
	}
	return 0;
}

static int64_t polling_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(poll);
}
CELL_PROVIDE(task_ops, unwind_polls) = {.run = polling_run};

static int kill_running(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;

	SPAWN(test, NULL, unwind_polls, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	CHECK_ENDED(test, task, TASK_KILLED, 0);
	TEST_CHECK(test, s->told == 1);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_running) = {.run = kill_running};

/* It may or may not have begun when it is killed: nothing is left either way. */
static int kill_new(struct test *test)
{
	struct unwind_test *s;
	struct task_ref task;

	for (unsigned i = 0; i < 8; i++) {
		s = unwind_test_begin();
		SPAWN(test, NULL, unwind_polls, &task);
		TEST_CHECK(test, task_kill(task) == 0);
		CHECK_ENDED(test, task, TASK_KILLED, 0);
		TEST_CHECK(test, unwind_test_dropped(s->reached ? 1 : 0));
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_new) = {.run = kill_new};

static int64_t kill_self(void)
{
	if (task_kill(task_self()) < 0)
		return 1;
	(void)task_kill_point();
	(void)task_kill_point();
	return 2;
}

static int64_t self_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(kill_self);
}
CELL_PROVIDE(task_ops, unwind_kills_itself) = {.run = self_run};

static int kill_itself(struct test *test)
{
	struct task_ref task;

	(void)unwind_test_begin();
	SPAWN(test, NULL, unwind_kills_itself, &task);
	CHECK_ENDED(test, task, TASK_KILLED, 0);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_itself) = {.run = kill_itself};

/* A task that is told may end by itself. */
static int64_t obey(void)
{
	struct task_event never = {.count = 0};

	unwind_test_reach(1);
	return task_event_wait(&never, 0, CLOCK_NEVER);
}

static int64_t obedient_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(obey);
}
CELL_PROVIDE(task_ops, unwind_obeys) = {.run = obedient_run};

static int kill_obedient(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;

	SPAWN(test, NULL, unwind_obeys, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	CHECK_ENDED(test, task, TASK_COMPLETED, -ECANCELED);
	TEST_CHECK(test, s->after == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_lets_return) = {.run = kill_obedient};

/* A cleanup that waits does so whatever happens to its task. */
static void drop_slowly(const int *unused)
{
	struct unwind_test *s = unwind_test_state();
	uint64_t seen;

	(void)unused;
	unwind_test_reach(2);
	for (;;) {
		seen = task_event_count(&s->event);
		if (!__atomic_load_n(&s->on, __ATOMIC_ACQUIRE))
			break;
		if (task_event_wait(&s->event, seen, CLOCK_NEVER) < 0)
			s->after++;
	}
	s->left++;
}

static int64_t exit_slowly(void)
{
	int slow OWNED(drop_slowly) = 0;

	task_exit(slow + 5);
}

static int64_t slow_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(exit_slowly);
}
CELL_PROVIDE(task_ops, unwind_exits_slowly) = {.run = slow_run};

static int kill_exiting(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;

	SPAWN(test, NULL, unwind_exits_slowly, &task);
	TEST_CHECK(test, unwind_test_await(2) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	task_event_signal(&s->event);
	CHECK_ENDED(test, task, TASK_COMPLETED, 5);
	TEST_CHECK(test, s->left == 1);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_exiting) = {.run = kill_exiting};

/* The joiner of another task is killed: the other can still be joined. */
static int64_t join_run(uint64_t arg)
{
	struct task_ref other = {(uint32_t)arg, (uint32_t)(arg >> 32)};
	struct task_exit exit;

	unwind_test_reach(2);
	return task_join(other, CLOCK_NEVER, &exit);
}
CELL_PROVIDE(task_ops, unwind_joins) = {.run = join_run};

static int kill_joiner(struct test *test)
{
	struct task_ref task, joiner;

	(void)unwind_test_begin();
	SPAWN(test, NULL, unwind_polls, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	TEST_CHECK(test,
		   task_spawn(NULL, IFACE(task_ops, unwind_joins), task_id(task), &joiner) == 0);
	TEST_CHECK(test, unwind_test_await(2) == 0);
	TEST_CHECK(test, task_kill(joiner) == 0);
	CHECK_ENDED(test, joiner, TASK_COMPLETED, -ECANCELED);
	TEST_CHECK(test, task_kill(task) == 0);
	CHECK_ENDED(test, task, TASK_KILLED, 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_joiner) = {.run = kill_joiner};

/* The same with one that does not obey: it is unwound while it waits in task_join(). */
static int64_t join_on(void)
{
	struct unwind_test *s = unwind_test_state();
	struct task_exit exit;

	while (task_join(s->joined, CLOCK_NEVER, &exit) == -ECANCELED)
		s->told++;
	return 0;
}

static int64_t stubborn_run(uint64_t arg)
{
	(void)arg;
	unwind_test_reach(2);
	return unwind_test_descend(join_on);
}
CELL_PROVIDE(task_ops, unwind_joins_on) = {.run = stubborn_run};

static int kill_stubborn_joiner(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref joiner;

	SPAWN(test, NULL, unwind_polls, &s->joined);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	SPAWN(test, NULL, unwind_joins_on, &joiner);
	TEST_CHECK(test, unwind_test_await(2) == 0);
	TEST_CHECK(test, task_kill(joiner) == 0);
	CHECK_ENDED(test, joiner, TASK_KILLED, 0);
	TEST_CHECK(test, s->told == 1);
	TEST_CHECK(test, unwind_test_dropped(1));
	s->drops[0] = s->drops[1] = s->drops[2] = 0;
	TEST_CHECK(test, task_kill(s->joined) == 0);
	CHECK_ENDED(test, s->joined, TASK_KILLED, 0);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_stubborn_joiner) = {.run = kill_stubborn_joiner};
