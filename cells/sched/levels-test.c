/* SPDX-License-Identifier: MIT */
/* What is particular to fixed priorities; the rest is in conformance-test.c. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "levels.h"

static struct levels levels;
static struct levels_chunk chunk;

static int fresh(void **state)
{
	(void)state;
	levels = (struct levels){.n_slots = 0};
	chunk = (struct levels_chunk){.slots = {{0}}};
	if (levels_start(&levels, 2) < 0)
		return -1;
	return levels_add(&levels, &chunk) != LEVELS_CHUNK;
}

static unsigned put(uint32_t slot, int32_t priority, uint64_t affinity, enum sched_why why)
{
	struct sched_task task = {.slot = slot, .affinity = affinity, .priority = priority};

	return levels_enqueue(&levels, &task, why, 0);
}

static void the_higher_level_comes_first(void **state)
{
	(void)state;
	(void)put(1, 0, 1, SCHED_NEW);
	(void)put(2, -3, 1, SCHED_NEW);
	(void)put(3, 4, 1, SCHED_NEW);
	(void)put(4, 4, 1, SCHED_NEW);
	(void)put(5, 99, 1, SCHED_NEW); /* beyond the highest: the highest */
	(void)put(6, -99, 1, SCHED_NEW);
	assert_int_equal(levels_pick(&levels, 0), 5);
	assert_int_equal(levels_pick(&levels, 0), 3);
	assert_int_equal(levels_pick(&levels, 0), 4);
	assert_int_equal(levels_pick(&levels, 0), 1);
	assert_int_equal(levels_pick(&levels, 0), 2);
	assert_int_equal(levels_pick(&levels, 0), 6);
}

static void a_higher_level_that_wakes_is_urgent(void **state)
{
	(void)state;
	(void)put(1, 0, 1, SCHED_NEW);
	assert_int_equal(levels_pick(&levels, 0), 1);
	assert_int_equal(put(2, 0, 1, SCHED_WAKE), 0);
	assert_int_equal(put(3, -1, 1, SCHED_WAKE), 0);
	assert_int_equal(levels_tick(&levels, 0, 0), LEVELS_SLICE_NS);
	assert_int_equal(put(4, 1, 1, SCHED_WAKE), 0 | SCHED_URGENT);
	assert_int_equal(levels_tick(&levels, 0, 0), 0);
}

static void it_goes_where_somebody_lower_runs(void **state)
{
	struct sched_task task = {.slot = 1, .last_cpu = 1, .affinity = 3, .priority = -2};

	(void)state;
	(void)put(0, 5, 1, SCHED_NEW);
	assert_int_equal(levels_pick(&levels, 0), 0);
	assert_int_equal(levels_enqueue(&levels, &task, SCHED_NEW, 1), 1);
	assert_int_equal(levels_pick(&levels, 1), 1);
	assert_int_equal(put(2, 3, 3, SCHED_WAKE), 1 | SCHED_URGENT);
	assert_int_equal(put(3, 3, 1, SCHED_WAKE), 0); /* not allowed there */
	assert_int_equal(put(4, -5, 3, SCHED_WAKE), 0);
}

/* One of the highest level spins, one of each lower level waits. */
static void a_lower_level_is_passed_over_so_often_and_no_more(void **state)
{
	unsigned since[3] = {0}, turns[3] = {0};

	(void)state;
	(void)put(0, 15, 1, SCHED_NEW);
	(void)put(1, 0, 1, SCHED_NEW);
	(void)put(2, -16, 1, SCHED_NEW);
	for (unsigned i = 0; i < 10000; i++) {
		int slot = levels_pick(&levels, 0);

		assert_in_range(slot, 0, 2);
		for (int s = 0; s < 3; s++)
			since[s] = s == slot ? 0 : since[s] + 1;
		assert_true(since[1] <= LEVELS_PATIENCE + 2 && since[2] <= LEVELS_PATIENCE + 2);
		turns[slot]++;
		(void)put((uint32_t)slot, slot == 0 ? 15 : slot == 1 ? 0 : -16, 1, SCHED_PREEMPTED);
	}
	assert_true(turns[0] > 9600);
	assert_true(turns[1] >= 10000 / (LEVELS_PATIENCE + 3));
	assert_true(turns[2] >= 10000 / (LEVELS_PATIENCE + 3));
}

static void the_most_urgent_is_stolen(void **state)
{
	(void)state;
	(void)put(1, 0, 3, SCHED_NEW);
	(void)put(2, 7, 3, SCHED_NEW);
	(void)put(3, 9, 1, SCHED_NEW); /* bound */
	assert_int_equal(levels_pick(&levels, 1), 2);
	assert_int_equal(levels_pick(&levels, 1), 1);
	assert_int_equal(levels_pick(&levels, 1), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_higher_level_comes_first, fresh),
		cmocka_unit_test_setup(a_higher_level_that_wakes_is_urgent, fresh),
		cmocka_unit_test_setup(it_goes_where_somebody_lower_runs, fresh),
		cmocka_unit_test_setup(a_lower_level_is_passed_over_so_often_and_no_more, fresh),
		cmocka_unit_test_setup(the_most_urgent_is_stolen, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
