/* SPDX-License-Identifier: MIT */
/*
 * Tests that run inside the guest. A cell NAME has them in cells/NAME/test/, listed in
 * `cell_tests` (cells/meson.build): they become a cell NAME_test of the bundle tests.cells,
 * and `exec test` runs every provider of test_ops, each in a task of its own:
 *
 *	static int wakes_in_order(struct test *test)
 *	{
 *		TEST_CHECK(test, count == 3);
 *		return TEST_PASSED;
 *	}
 *	CELL_PROVIDE(test_ops, event_wakes_in_order) = {.run = wakes_in_order};
 *
 * What a test creates it gives back: the runner compares tasks, regions and objects before
 * and after, and what is left over fails the test.
 */
#ifndef THESEUS_TEST_H
#define THESEUS_TEST_H

#include <theseus/cell.h>

enum test_result {
	TEST_PASSED = 0,
	TEST_FAILED = 1,
	TEST_SKIPPED = 2, /* this machine or build cannot; test.reason says why */
};

struct test {
	char reason[160]; /* of a failure or a skip; NUL-terminated */
};

struct test_ops {
	/* Result: enum test_result, or -errno: failed. May block; a fault in it is a failure. */
	int (*run)(struct test *test);
};
IFACE_DEFINE(test_ops);

/* Keeps the first reason that is given, cut to what fits. Result: @result. */
static inline __attribute__((unused)) int test_end(struct test *test, enum test_result result,
						   const char *reason)
{
	size_t n = 0;

	if (test->reason[0])
		return (int)result;
	while (reason[n] && n < sizeof(test->reason) - 1) {
		test->reason[n] = reason[n];
		n++;
	}
	test->reason[n] = '\0';
	return (int)result;
}

#define TEST_STRING_(x) #x
#define TEST_STRING(x) TEST_STRING_(x)
/* Ends the test as failed, with place and condition, unless @condition holds. */
#define TEST_CHECK(test, condition)                                                         \
	do {                                                                                \
		if (!(condition))                                                           \
			return test_end((test), TEST_FAILED,                                \
					__FILE_NAME__ ":" TEST_STRING(__LINE__) ": " #condition); \
	} while (0)
#define TEST_SKIP(test, why) return test_end((test), TEST_SKIPPED, (why))

#endif
