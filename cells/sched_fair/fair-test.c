/* SPDX-License-Identifier: MIT */
/* Shares, bounds and order of the fair scheduler; the rest is in sched/conformance-test.c. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "fair.h"
#include "tree.h"

static struct fair fair;
static struct fair_chunk chunk;

#define MS 1000000ull

static int fresh(void **state)
{
	(void)state;
	fair = (struct fair){.n_slots = 0};
	chunk = (struct fair_chunk){.slots = {{0}}};
	if (fair_start(&fair, 2) < 0)
		return -1;
	fair_add(&fair, &chunk);
	return 0;
}

static struct sched_task task_of(uint32_t slot, int32_t priority, uint64_t ran_ns)
{
	return (struct sched_task){
		.slot = slot, .affinity = 1, .priority = priority, .ran_ns = ran_ns};
}

static void put(uint32_t slot, int32_t priority, enum sched_why why, uint64_t ran_ns)
{
	struct sched_task task = task_of(slot, priority, ran_ns);

	(void)fair_enqueue(&fair, &task, why, 0);
}

static void leave(uint32_t slot, int32_t priority, uint64_t ran_ns)
{
	struct sched_task task = task_of(slot, priority, ran_ns);

	fair_blocked(&fair, &task, 0);
}

/* Runs who is picked until its slice is over, for @total; adds up in @got. */
static void spin_all(const int32_t *priority, unsigned n, uint64_t total, uint64_t *got)
{
	for (unsigned i = 0; i < n; i++)
		put(i, priority[i], SCHED_NEW, 0);
	for (uint64_t now = 0; now < total;) {
		int slot = fair_pick(&fair, 0);
		uint64_t ran = fair_tick(&fair, 0, 0);

		assert_in_range(slot, 0, n - 1);
		got[slot] += ran;
		now += ran;
		put((uint32_t)slot, priority[slot], SCHED_PREEMPTED, ran);
	}
}

static void equals_get_the_same(void **state)
{
	const int32_t priority[5] = {0};
	uint64_t got[5] = {0};

	(void)state;
	spin_all(priority, 5, 10000 * MS, got);
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(got[i], 2000 * MS - 2 * FAIR_SLICE_NS,
				2000 * MS + 2 * FAIR_SLICE_NS);
}

static void shares_follow_weights(void **state)
{
	const int32_t priority[3] = {0, 3, -3}; /* 1024 : 2000 : 524 */
	uint64_t got[3] = {0};

	(void)state;
	spin_all(priority, 3, 35480 * MS, got);
	assert_in_range(got[0], 10240 * MS - 3 * FAIR_SLICE_NS, 10240 * MS + 3 * FAIR_SLICE_NS);
	assert_in_range(got[1], 20000 * MS - 3 * FAIR_SLICE_NS, 20000 * MS + 3 * FAIR_SLICE_NS);
	assert_in_range(got[2], 5240 * MS - 3 * FAIR_SLICE_NS, 5240 * MS + 3 * FAIR_SLICE_NS);
}

static void the_least_weight_still_runs(void **state)
{
	const int32_t priority[2] = {SCHED_PRIORITY_MAX, SCHED_PRIORITY_MIN};
	uint64_t got[2] = {0};

	(void)state;
	spin_all(priority, 2, 100000 * MS, got);
	assert_true(got[1] >= FAIR_SLICE_NS);
	assert_true(got[0] > 300 * got[1]);
}

/*
 * At no moment has anybody who always wants to run got less than its share by more than two
 * slices, whatever the others do: they block and wake at random, with random runs.
 */
static void nobody_falls_behind_in_random_runs(void **state)
{
	enum { N = 12, FIXED = 4 };
	bool away[N] = {false};
	uint64_t ideal = 0, got[FIXED] = {0}; /* of weight 1, in ns * 2^20 */

	(void)state;
	srand(3);
	for (uint32_t i = 0; i < N; i++)
		put(i, 0, SCHED_NEW, 0);
	for (int step = 0; step < 200000; step++) {
		int slot = fair_pick(&fair, 0);
		uint64_t most = fair_tick(&fair, 0, 0);
		uint64_t ran = slot < FIXED ? most : 1 + (uint64_t)rand() % most;
		unsigned wanting = 0;

		assert_in_range(slot, 0, N - 1);
		for (unsigned i = 0; i < N; i++)
			wanting += !away[i];
		ideal += (ran << 20) / wanting;
		if (slot < FIXED)
			got[slot] += ran;
		if (slot >= FIXED && rand() % 3 == 0) {
			away[slot] = true;
			leave((uint32_t)slot, 0, ran);
		} else {
			put((uint32_t)slot, 0, rand() % 4 ? SCHED_PREEMPTED : SCHED_YIELD, ran);
		}
		for (uint32_t i = FIXED; i < N; i++) {
			if (away[i] && rand() % 8 == 0) {
				away[i] = false;
				put(i, 0, SCHED_WAKE, 0);
			}
		}
		for (unsigned i = 0; i < FIXED; i++) {
			int64_t behind = (int64_t)(ideal >> 20) - (int64_t)got[i];

			/* what sleepers bring along shifts the mean: bounded, as their lag is */
			assert_true(behind <= (int64_t)(N * FAIR_SLICE_NS));
		}
	}
	/* over the whole run they got the same */
	for (unsigned i = 1; i < FIXED; i++) {
		int64_t apart = (int64_t)got[i] - (int64_t)got[0];

		assert_true(apart < (int64_t)(4 * FAIR_SLICE_NS) &&
			    apart > -(int64_t)(4 * FAIR_SLICE_NS));
	}
}

static void who_is_ahead_waits_for_the_others(void **state)
{
	(void)state;
	put(0, 0, SCHED_NEW, 0);
	put(1, 0, SCHED_NEW, 0);
	assert_int_equal(fair_pick(&fair, 0), 0);
	put(0, 0, SCHED_PREEMPTED, FAIR_SLICE_NS);
	assert_int_equal(fair_pick(&fair, 0), 1);
	/* blocks early: is behind, and keeps that over its sleep */
	leave(1, 0, MS);
	assert_int_equal(fair_pick(&fair, 0), 0);
	put(1, 0, SCHED_WAKE, 0);
	put(0, 0, SCHED_PREEMPTED, MS);
	assert_int_equal(fair_pick(&fair, 0), 1);
}

static void sleeping_does_not_erase_what_one_is_ahead(void **state)
{
	(void)state;
	put(0, 0, SCHED_NEW, 0);
	put(1, 0, SCHED_NEW, 0);
	assert_int_equal(fair_pick(&fair, 0), 0);
	leave(0, 0, 4 * MS); /* ran before the other did, then slept */
	put(0, 0, SCHED_WAKE, 0);
	assert_int_equal(fair_pick(&fair, 0), 1);
	put(1, 0, SCHED_PREEMPTED, MS);
	assert_int_equal(fair_pick(&fair, 0), 1);
}

static void lag_is_bounded(void **state)
{
	(void)state;
	put(0, 0, SCHED_NEW, 0);
	put(1, 0, SCHED_NEW, 0);
	assert_int_equal(fair_pick(&fair, 0), 0);
	leave(0, 0, 1000 * MS); /* a second without a tick */
	assert_in_range(-fair_slot_of(&fair, 0)->v, 0, FAIR_SLICE_NS);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fair_pick(&fair, 0), 1);
		put(1, 0, SCHED_PREEMPTED, FAIR_SLICE_NS);
	}
	put(0, 0, SCHED_WAKE, 0);
	for (int i = 0; i < 4; i++) {
		int slot = fair_pick(&fair, 0);

		if (slot == 0)
			return;
		put(1, 0, SCHED_PREEMPTED, FAIR_SLICE_NS);
	}
	fail_msg("the one that was ahead once does not run any more");
}

static void a_waker_that_used_its_slice_gives_way(void **state)
{
	struct sched_task task = task_of(1, 0, 0);

	(void)state;
	put(0, 0, SCHED_NEW, 0);
	put(1, 0, SCHED_NEW, 0);
	assert_int_equal(fair_pick(&fair, 0), 0);
	put(0, 0, SCHED_PREEMPTED, FAIR_SLICE_NS); /* deadline: two slices */
	assert_int_equal(fair_pick(&fair, 0), 1);
	leave(1, 0, 1 * MS);
	assert_int_equal(fair_pick(&fair, 0), 0);
	assert_int_equal(fair_enqueue(&fair, &task, SCHED_WAKE, 0), 0 | SCHED_URGENT);
}

/* Against a search of all, after every step of a random run. */
static void the_tree_finds_what_a_search_of_all_finds(void **state)
{
	bool in[FAIR_CHUNK] = {false};
	struct fair_tree tree = {.root = 0};

	(void)state;
	srand(5);
	for (int step = 0; step < 20000; step++) {
		uint32_t slot = (uint32_t)rand() % FAIR_CHUNK;
		struct fair_slot *s = fair_slot_of(&fair, slot);
		int64_t limit = rand() % 100;
		unsigned cpu = (unsigned)rand() % 4;
		int eligible = -ENOENT, movable = -ENOENT;

		if (in[slot]) {
			tree_remove(&fair, &tree, slot);
		} else {
			s->v = rand() % 100;
			s->deadline = step / 2000 % 2 ? step : rand() % 50; /* mostly the last, too */
			s->order = (uint64_t)step;
			s->affinity = (uint64_t)rand() % 16;
			tree_insert(&fair, &tree, slot);
		}
		in[slot] = !in[slot];
		for (int i = 0; i < (int)FAIR_CHUNK; i++) {
			const struct fair_slot *a = fair_slot_of(&fair, (uint32_t)i);
			const struct fair_slot *b;

			if (!in[i])
				continue;
			b = eligible < 0 ? NULL : fair_slot_of(&fair, (uint32_t)eligible);
			if (a->v <= limit && (!b || a->deadline < b->deadline ||
					      (a->deadline == b->deadline && a->order < b->order)))
				eligible = i;
			b = movable < 0 ? NULL : fair_slot_of(&fair, (uint32_t)movable);
			if (a->affinity >> cpu & 1 &&
			    (!b || a->deadline < b->deadline ||
			     (a->deadline == b->deadline && a->order < b->order)))
				movable = i;
		}
		assert_int_equal(tree_first_eligible(&fair, &tree, limit), eligible);
		assert_int_equal(tree_first_for(&fair, &tree, cpu), movable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(equals_get_the_same, fresh),
		cmocka_unit_test_setup(shares_follow_weights, fresh),
		cmocka_unit_test_setup(the_least_weight_still_runs, fresh),
		cmocka_unit_test_setup(nobody_falls_behind_in_random_runs, fresh),
		cmocka_unit_test_setup(who_is_ahead_waits_for_the_others, fresh),
		cmocka_unit_test_setup(sleeping_does_not_erase_what_one_is_ahead, fresh),
		cmocka_unit_test_setup(lag_is_bounded, fresh),
		cmocka_unit_test_setup(a_waker_that_used_its_slice_gives_way, fresh),
		cmocka_unit_test_setup(the_tree_finds_what_a_search_of_all_finds, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
