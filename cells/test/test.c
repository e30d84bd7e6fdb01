/* SPDX-License-Identifier: MIT */
/*
 * `exec test`: runs what cells provide as test_ops, one after another, each in a task of its
 * own. The log names each test before it runs: whoever finds the guest stuck or gone sees in
 * which one.
 */
#include <theseus/test.h>

#include <stdio.h>
#include <string.h>

#include <theseus/command.h>
#include <theseus/loader.h>
#include <theseus/log.h>
#include <theseus/task.h>
#include <theseus/upcall.h>

#include "leftover.h"

CELL_INFO(.name = "test", .version = "1.0.0", .summary = "runs the tests that cells bring along",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_CONSUMES(test_ops);

#define LIMIT_NS (60 * CLOCK_S) /* of one test */
#define KILL_NS (5 * CLOCK_S)   /* to end a test that took longer */
#define SETTLE_NS (2 * CLOCK_S) /* for what tests let go to come to its end */

struct test_state {
	uint32_t running; /* one run at a time: each compares what the whole system holds */
	/* The test that runs, shared with its task. */
	struct test_ops_h handle;
	struct test test;
};
CELL_STATE(struct test_state, runner);

struct tally {
	unsigned passed, failed, skipped;
	bool stuck; /* the last one still runs, whatever was tried */
};

static int64_t run_one(uint64_t arg)
{
	const struct test_ops *ops = test_ops_get(runner.handle);

	(void)arg;
	return ops ? ops->run(&runner.test) : -ENOENT;
}
CELL_PROVIDE(task_ops, test_one) = {.run = run_one};

static void describe_fault(uint64_t id, char *ret_text, size_t size)
{
	struct upcall_fault f;

	if (upcall_fault_get(id, &f) < 0) {
		snprintf(ret_text, size, "faulted");
		return;
	}
	snprintf(ret_text, size, "%s in %s:%s+0x%llx", f.reason, f.cell[0] ? f.cell : "?",
		 f.function, (unsigned long long)f.offset);
}

/* Result: enum test_result, with the reason in @test unless it passed. */
static int judge(struct test *test, const struct task_exit *exit)
{
	if (exit->end == TASK_FAULTED) {
		describe_fault(exit->fault, test->reason, sizeof(test->reason));
		return TEST_FAILED;
	}
	if (exit->end == TASK_KILLED)
		return test_end(test, TEST_FAILED, "killed");
	switch (exit->value) {
	case TEST_PASSED:
		return TEST_PASSED;
	case TEST_SKIPPED:
		return test_end(test, TEST_SKIPPED, "no reason given");
	case TEST_FAILED:
		return test_end(test, TEST_FAILED, "no reason given");
	default:
		if (!test->reason[0])
			snprintf(test->reason, sizeof(test->reason), "returned %lld",
				 (long long)exit->value);
		return TEST_FAILED;
	}
}

/* Result: enum test_result, with the reason in runner.test. */
static int run_in_task(const char *name, bool *ret_stuck)
{
	const struct task_attr attr = {.name = name, .stack_bytes = TASK_STACK_MAX};
	struct test *test = &runner.test;
	struct task_exit exit;
	struct task_ref task;
	int r;

	r = task_spawn(&attr, IFACE(task_ops, test_one), 0, &task);
	if (r < 0) {
		snprintf(test->reason, sizeof(test->reason), "no task: error %d", r);
		return TEST_FAILED;
	}
	r = task_join(task, clock_after(LIMIT_NS), &exit);
	if (r == 0)
		return judge(test, &exit);
	(void)task_kill(task);
	*ret_stuck = task_join(task, clock_after(KILL_NS), &exit) < 0;
	snprintf(test->reason, sizeof(test->reason), "still running after %u s%s",
		 (unsigned)(LIMIT_NS / CLOCK_S), *ret_stuck ? ", and after a kill" : "");
	return TEST_FAILED;
}

static void count(struct command_io *io, const char *name, int result, const char *reason,
		  struct tally *tally)
{
	switch (result) {
	case TEST_PASSED:
		tally->passed++;
		command_printf(io, "ok %s\n", name);
		break;
	case TEST_SKIPPED:
		tally->skipped++;
		command_printf(io, "skip %s: %s\n", name, reason);
		break;
	default:
		tally->failed++;
		command_printf(io, "not ok %s: %s\n", name, reason);
		log_write(LOG_WARNING, CELL_SELF, "%s failed: %s", name, reason);
	}
}

static void run_test(struct command_io *io, const char *name, struct test_ops_h handle,
		     struct tally *tally)
{
	struct test *test = &runner.test;
	struct held before;
	int result;

	runner.handle = handle;
	*test = (struct test){0};
	log_write(LOG_NOTICE, CELL_SELF, "%s", name);
	held_now(&before);
	result = run_in_task(name, &tally->stuck);
	if (result != TEST_FAILED &&
	    held_more(&before, SETTLE_NS, test->reason, sizeof(test->reason)))
		result = TEST_FAILED;
	count(io, name, result, test->reason, tally);
}

/* No word of @prefixes: all of them. */
static bool is_chosen(const char *name, int n, const char *const *prefixes)
{
	for (int i = 0; i < n; i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return n == 0;
}

static int run_chosen(struct command_io *io, bool list, int n, const char *const *prefixes,
		      bool *ret_stuck)
{
	char name[CELL_NAME_MAX];
	struct tally tally = {0};
	struct test_ops_h h;
	unsigned all = 0, chosen = 0;

	for (; !tally.stuck && iface_at("test_ops", all, name, &h.h) == 0; all++) {
		if (!is_chosen(name, n, prefixes))
			continue;
		chosen++;
		if (list)
			command_printf(io, "%s\n", name);
		else
			run_test(io, name, h, &tally);
	}
	if (all == 0)
		command_printf(io, "no tests are loaded: theseusctl swap-cell tests.cells\n");
	else if (chosen == 0)
		command_printf(io, "no test has a name that begins so: see test --list\n");
	else if (tally.stuck)
		command_printf(io, "%s still runs: the tests after it were left out\n", name);
	if (!list)
		command_printf(io, "%u passed, %u failed, %u skipped\n", tally.passed, tally.failed,
			       tally.skipped);
	*ret_stuck = tally.stuck;
	return chosen == 0 || tally.failed ? 1 : 0;
}

static int test_run(struct command_io *io, int argc, const char *const *argv)
{
	bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
	int first = list ? 2 : 1, status;
	bool stuck;

	if (argc > first && argv[first][0] == '-') {
		command_printf(io, "usage: test [--list] [NAME-PREFIX...]\n");
		return 2;
	}
	if (!list && __atomic_exchange_n(&runner.running, 1, __ATOMIC_ACQUIRE)) {
		command_printf(io, "tests are running already\n");
		return 1;
	}
	status = run_chosen(io, list, argc - first, argv + first, &stuck);
	/* the task of one that is stuck still uses runner.test */
	if (!list && !stuck)
		__atomic_store_n(&runner.running, 0, __ATOMIC_RELEASE);
	return status;
}
CELL_PROVIDE(command_ops, test) = {
	.run = test_run,
	.help = "[--list] [NAME-PREFIX...]  runs the tests that are loaded",
};
