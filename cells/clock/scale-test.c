/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scale.h"

static const uint64_t frequencies[] = {1000,    999999,  1000000, 1999999,  2100000,
				       2893123, 3400001, 5000000, 100000000};

static void known_values(void **state)
{
	struct clock_page page;

	(void)state;
	scale_init(&page, 2000000, 500);
	assert_int_equal(scale_ns_of_tsc(&page, 500), 0);
	assert_int_equal(scale_ns_of_tsc(&page, 502), 1);
	assert_int_equal(scale_ns_of_tsc(&page, 500 + 2000000000ull), 1000000000);
	assert_int_equal(scale_tsc_of_ns(&page, 0), 500);
	page.offset_ns = 7;
	assert_int_equal(scale_ns_of_tsc(&page, 502), 8);
	/* before the base: a CPU that is behind */
	assert_int_equal(scale_ns_of_tsc(&page, 3), 7);
}

static void a_deadline_is_never_early_and_hardly_late(void **state)
{
	struct clock_page page;
	uint64_t ns, tsc, slack;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frequencies); i++) {
		scale_init(&page, frequencies[i], 123456789);
		for (ns = 0; ns < 1ull << 60; ns = ns * 3 + 1) {
			tsc = scale_tsc_of_ns(&page, ns);
			if (tsc == CLOCK_NEVER)
				break;
			assert_true(scale_ns_of_tsc(&page, tsc) >= ns);
			slack = 4 + 2 * frequencies[i] / 1000000;
			if (tsc >= page.tsc_base + slack)
				assert_true(scale_ns_of_tsc(&page, tsc - slack) < ns);
		}
	}
}

static void time_is_monotonic(void **state)
{
	struct clock_page page;
	uint64_t last, now;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frequencies); i++) {
		scale_init(&page, frequencies[i], 0);
		last = 0;
		for (uint64_t tsc = 0; tsc < 100000; tsc++) {
			now = scale_ns_of_tsc(&page, tsc);
			assert_true(now >= last);
			last = now;
		}
	}
}

static void the_error_stays_below_a_millionth(void **state)
{
	struct clock_page page;
	uint64_t day = 86400ull * CLOCK_S, ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frequencies); i++) {
		scale_init(&page, frequencies[i], 0);
		ns = scale_ns_of_tsc(&page, 86400ull * 1000 * frequencies[i]);
		assert_true(ns <= day && day - ns < day / 1000000);
	}
}

static void the_ends_of_time_saturate(void **state)
{
	struct clock_page page;

	(void)state;
	scale_init(&page, 1000, 0); /* 1 MHz: ns overflow before the TSC does */
	assert_true(scale_ns_of_tsc(&page, UINT64_MAX) == UINT64_MAX);
	assert_true(scale_tsc_of_ns(&page, CLOCK_NEVER) == CLOCK_NEVER);
	scale_init(&page, 4000000, UINT64_MAX - 10);
	assert_true(scale_tsc_of_ns(&page, 1000) == CLOCK_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(a_deadline_is_never_early_and_hardly_late),
		cmocka_unit_test(time_is_monotonic),
		cmocka_unit_test(the_error_stays_below_a_millionth),
		cmocka_unit_test(the_ends_of_time_saturate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
