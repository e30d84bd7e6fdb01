/* SPDX-License-Identifier: MIT */
/* Backtraces: of this task, of one that waits, of one that runs. */
#include <string.h>
#include <theseus/loader.h>

#include "test.h"

/* Tries until the CPUs can be parked: somebody else may, or the host may have taken one away. */
static int backtrace(struct task_ref task, uint64_t *ret_pcs, unsigned max)
{
	int n;

	do {
		n = task_backtrace(task, ret_pcs, max);
	} while (n == -ETIMEDOUT || n == -EAGAIN);
	return n;
}

/* How many of @pcs lie in @function of this cell. */
static unsigned count_in(const uint64_t *pcs, int n, const char *function)
{
	struct loader_location at;
	unsigned found = 0;

	for (int i = 0; i < n; i++) {
		if (loader_locate(pcs[i], &at) == 0 && strcmp(at.cell, "unwind_test") == 0 &&
		    strcmp(at.function, function) == 0)
			found++;
	}
	return found;
}

static int64_t trace_here(void)
{
	uint64_t pcs[24];
	int n = task_backtrace(task_self(), pcs, ARRAY_SIZE(pcs));

	return n < 0 ? n
		     : (int)(count_in(pcs, n, "descend") + 100 * count_in(pcs, n, "trace_here"));
}

static int trace_own(struct test *test)
{
	uint64_t pc;

	(void)unwind_test_begin();
	TEST_CHECK(test, unwind_test_descend(trace_here) == 100 + LEVELS);
	TEST_CHECK(test, task_backtrace(task_self(), &pc, 1) == 1);
	TEST_CHECK(test, backtrace((struct task_ref){0, 0}, &pc, 1) == -ESTALE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_trace_own) = {.run = trace_own};

static int64_t wait_for_off(void)
{
	struct unwind_test *s = unwind_test_state();

	unwind_test_reach(1);
	while (__atomic_load_n(&s->on, __ATOMIC_ACQUIRE)) {
		uint64_t seen = task_event_count(&s->event);

		if (__atomic_load_n(&s->on, __ATOMIC_ACQUIRE) &&
		    task_event_wait(&s->event, seen, CLOCK_NEVER) < 0)
			return 1;
	}
	return 0;
}

static int64_t waiting_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(wait_for_off);
}
CELL_PROVIDE(task_ops, unwind_traced_waiting) = {.run = waiting_run};

static int64_t poll_off(void)
{
	unwind_test_reach(1);
	while (__atomic_load_n(&unwind_test_state()->on, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	return 0;
}

static int64_t running_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(poll_off);
}
CELL_PROVIDE(task_ops, unwind_traced_running) = {.run = running_run};

/* Also when it was preempted, or runs on another CPU: then the interrupt stands on its stack. */
static int trace_other(struct test *test, struct task_ops_h entry)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref task;
	struct task_exit exit;
	uint64_t pcs[24];
	int n;

	TEST_CHECK(test, task_spawn(NULL, entry, 0, &task) == 0);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	n = backtrace(task, pcs, ARRAY_SIZE(pcs));
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	task_event_signal(&s->event);
	TEST_CHECK(test, unwind_test_join(task, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0);
	TEST_CHECK(test, count_in(pcs, n, "descend") == LEVELS);
	return TEST_PASSED;
}

static int trace_waiting(struct test *test)
{
	return trace_other(test, IFACE(task_ops, unwind_traced_waiting));
}
CELL_PROVIDE(test_ops, unwind_trace_waiting) = {.run = trace_waiting};

static int trace_running(struct test *test)
{
	return trace_other(test, IFACE(task_ops, unwind_traced_running));
}
CELL_PROVIDE(test_ops, unwind_trace_running) = {.run = trace_running};
