/* SPDX-License-Identifier: MIT */
/* Undefined behaviour that the checked build has to stop where it happens. */
#include <theseus/test.h>

#include <limits.h>

#ifdef THESEUS_CHECKED

struct sized {
	int before[4];
	int after;
};

/* The compiler is not to know what it is given. */
static int unknown(int value)
{
	__asm__("" : "+r"(value));
	return value;
}

static int writes_out_of_bounds(struct test *test)
{
	struct sized sized = {.after = 1};

	(void)test;
	sized.before[unknown(4)] = 2;
	return unknown(sized.after);
}
CELL_PROVIDE(test_ops, bad_writes_out_of_bounds) = {.run = writes_out_of_bounds};

static int overflows(struct test *test)
{
	(void)test;
	return unknown(unknown(INT_MAX) + 1);
}
CELL_PROVIDE(test_ops, bad_overflows) = {.run = overflows};

static int shifts_too_far(struct test *test)
{
	(void)test;
	return unknown(unknown(1) << unknown(32));
}
CELL_PROVIDE(test_ops, bad_shifts_too_far) = {.run = shifts_too_far};

static int divides_by_zero(struct test *test)
{
	(void)test;
	return unknown(unknown(1) / unknown(0));
}
CELL_PROVIDE(test_ops, bad_divides_by_zero) = {.run = divides_by_zero};

static int is_not_bool(struct test *test)
{
	union {
		int number;
		bool truth;
	} u = {.number = unknown(2)};

	(void)test;
	return u.truth ? TEST_PASSED : TEST_FAILED;
}
CELL_PROVIDE(test_ops, bad_is_not_bool) = {.run = is_not_bool};

static int misaligned(struct test *test)
{
	static const uint64_t words[2] = {1, 2};
	const uint64_t *word = (const uint64_t *)(const void *)((const char *)words + unknown(4));

	(void)test;
	return unknown((int)*word);
}
CELL_PROVIDE(test_ops, bad_misaligned) = {.run = misaligned};

#endif
