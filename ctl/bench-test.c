/* SPDX-License-Identifier: MIT */
/* Figures of benchmarks: reading them, summing them up, comparing them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <theseus/bench.h>

#include "bench.h"

static const struct bench_op map16 = {BENCH_GUEST, "map", 16};

static void test_parse(void **state)
{
	struct bench_figures f;

	(void)state;
	assert_int_equal(bench_parse("bench=map param=16 n=7 ops=2 median_ps=500 p99_ps=900 "
				     "min_ps=100\n",
				     &map16, &f),
			 0);
	assert_false(f.is_bytes);
	assert_int_equal(f.n, 7);
	assert_int_equal(f.median_ps, 500);
	assert_int_equal(f.p99_ps, 900);
	assert_int_equal(bench_parse("bench=map param=16 bytes=4096", &map16, &f), 0);
	assert_true(f.is_bytes);
	assert_int_equal(f.bytes, 4096);
}

static void test_parse_refuses(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"bench=map",
		"bench=map param=16",
		"bench=map param=16 n=7 median_ps=1",
		"bench=map param=16 n=7 p99_ps=1",
		"bench=map param=16 n=0 median_ps=1 p99_ps=1",
		"bench=map param=1 n=7 median_ps=1 p99_ps=1",   /* another parameter */
		"bench=mapx param=16 n=7 median_ps=1 p99_ps=1", /* another benchmark */
		"param=16 n=7 median_ps=1 p99_ps=1",
		"bench=map param=16 n=7 median_ps=-1 p99_ps=1",
		"bench=map param=16 n=7 median_ps=1x p99_ps=1",
		"bench=map param=16 n=7 median_ps=1 p99_ps=1 more=2",
		"bench=map param=16 bytes=1 median_ps=1 p99_ps=1",
		"bench=map param=16 n=7 median_ps=1 p99_ps=1\nbench=map param=16 bytes=1\n",
	};
	char text[600];
	struct bench_figures f;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(bench_parse(texts[i], &map16, &f), -EPROTO);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(bench_parse(text, &map16, &f), -EPROTO);
}

static struct bench_measure measure_of(size_t n, const uint64_t *medians, const uint64_t *p99s)
{
	struct bench_measure m = {.op = map16, .config = "", .n = n};

	for (size_t i = 0; i < n; i++)
		m.rounds[i] =
			(struct bench_figures){.median_ps = medians[i], .p99_ps = p99s[i], .n = 10};
	return m;
}

static void test_summary(void **state)
{
	/* one disturbed round moves neither figure; each is a median of its own */
	const uint64_t medians[] = {5, 1, 3, 2, 1000000}, p99s[] = {9, 90, 7, 8, 6};
	struct bench_measure odd = measure_of(5, medians, p99s),
			     even = measure_of(4, medians, p99s),
			     one = measure_of(1, medians, p99s);

	(void)state;
	assert_int_equal(bench_summary(&odd).median_ps, 3);
	assert_int_equal(bench_summary(&odd).p99_ps, 8);
	assert_int_equal(bench_summary(&odd).n, 50);
	assert_int_equal(bench_summary(&even).median_ps, 2); /* between 2 and 3, whole halves */
	assert_int_equal(bench_summary(&one).median_ps, 5);
	assert_int_equal(bench_summary(&one).p99_ps, 9);
}

static void test_ratio(void **state)
{
	struct bench_figures two = {.median_ps = 2}, eight = {.median_ps = 8}, zero = {0},
			     bytes = {.is_bytes = true, .bytes = 6},
			     more = {.is_bytes = true, .bytes = 12};

	(void)state;
	assert_true(bench_ratio(&two, &eight) == 0.25);
	assert_true(bench_ratio(&more, &bytes) == 2);
	assert_true(bench_ratio(&two, &zero) == 0);
	assert_true(bench_ratio(&two, &bytes) == 0);
}

static void test_table(void **state)
{
	(void)state;
	for (const struct bench_row *row = bench_rows; row->family; row++) {
		assert_int_equal(row->guest.side, BENCH_GUEST);
		assert_true(strlen(row->what) > 20);
		if (row->against.side == BENCH_NOTHING)
			assert_true(row->target == 0);
		/* a family stands together: it is listed once, and runs in one go */
		for (const struct bench_row *b = bench_rows; b < row - 1; b++)
			if (!strcmp(b->family, row->family))
				assert_string_equal(row[-1].family, row->family);
		/* only a guest can be in another configuration */
		if (row->against_config)
			assert_int_equal(row->against.side, BENCH_GUEST);
	}
}

/* ---- what both sides do with their samples ---- */

static void test_rank(void **state)
{
	uint64_t samples[200];

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		samples[i] = 200 - i;
	qsort(samples, 200, sizeof(samples[0]), bench_compare);
	assert_int_equal(samples[0], 1);
	assert_int_equal(bench_rank(samples, 200, 50), 100);
	assert_int_equal(bench_rank(samples, 200, 99), 198);
	assert_int_equal(bench_rank(samples, 200, 100), 200);
	assert_int_equal(bench_rank(samples, 100, 99), 99);
	assert_int_equal(bench_rank(samples, 3, 99), 3);
	assert_int_equal(bench_rank(samples, 3, 50), 2);
	assert_int_equal(bench_rank(samples, 1, 50), 1);
	assert_int_equal(bench_rank(samples, 1, 1), 1);
}

static void test_ps(void **state)
{
	(void)state;
	assert_int_equal(bench_ps(3, 1, 3000000), 1000);       /* 3 ticks at 3 GHz */
	assert_int_equal(bench_ps(3000, 1000, 3000000), 1000); /* of a thousand operations */
	assert_int_equal(bench_ps(1, 1, 2000000), 500);
	/* an hour: the exact way would overflow */
	assert_int_equal(bench_ps(3600ull * 2000000000, 1, 2000000), 3600ull * 1000000000000);
}

static void test_more(void **state)
{
	uint64_t *samples = calloc(BENCH_SAMPLES_MAX, sizeof(*samples));
	struct bench now = {.time_tsc = 0, .samples = samples},
		     never = {.time_tsc = UINT64_MAX / 2, .samples = samples};

	(void)state;
	assert_non_null(samples);
	while (bench_more(&now))
		bench_add(&now, 7);
	assert_int_equal(now.n, BENCH_SAMPLES_MIN);
	while (bench_more(&never))
		bench_stop(&never, bench_start());
	assert_int_equal(never.n, BENCH_SAMPLES_MAX);
	bench_add(&never, 1); /* there is no room: nothing happens */
	assert_int_equal(never.n, BENCH_SAMPLES_MAX);
	free(samples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),   cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_summary), cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_table),   cmocka_unit_test(test_rank),
		cmocka_unit_test(test_ps),      cmocka_unit_test(test_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
