/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "queue.h"

static struct rr_state rr;

static unsigned put(uint32_t slot, uint64_t affinity, unsigned last, enum sched_why why,
		    unsigned here)
{
	struct sched_task task = {.slot = slot, .last_cpu = last, .affinity = affinity};

	return rr_enqueue(&rr, &task, why, here);
}

static int fresh(void **state)
{
	(void)state;
	return rr_start(&rr, 2);
}

static void takes_only_a_sane_number_of_cpus(void **state)
{
	(void)state;
	assert_int_equal(rr_start(&rr, 0), -EINVAL);
	assert_int_equal(rr_start(&rr, GATE_MAX_CPUS + 1), -EINVAL);
	assert_int_equal(rr_start(&rr, GATE_MAX_CPUS), 0);
}

static void first_in_first_out(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(put(i, 1, 0, SCHED_WAKE, 0), 0);
	assert_int_equal(rr_queued(&rr, 0), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rr_pick(&rr, 0), i);
	assert_int_equal(rr_pick(&rr, 0), -ENOENT);
}

static void a_task_is_queued_once(void **state)
{
	(void)state;
	assert_int_equal(put(7, 3, 0, SCHED_WAKE, 0), 0);
	assert_int_equal(put(7, 3, 1, SCHED_WAKE, 1), 0);
	assert_int_equal(rr_pick(&rr, 0), 7);
	assert_int_equal(rr_pick(&rr, 0), -ENOENT);
}

static void an_idle_cpu_steals_what_may_run_there(void **state)
{
	(void)state;
	(void)put(1, 1, 0, SCHED_YIELD, 0); /* bound to CPU 0 */
	(void)put(2, 3, 0, SCHED_YIELD, 0);
	(void)put(3, 3, 0, SCHED_YIELD, 0);
	assert_int_equal(rr_pick(&rr, 1), 2);
	assert_int_equal(rr_pick(&rr, 1), 3);
	assert_int_equal(rr_pick(&rr, 1), -ENOENT);
	assert_int_equal(rr_queued(&rr, 0), 1);
	assert_int_equal(rr_pick(&rr, 0), 1);
	/* the queue is in order after its middle and its end were taken */
	(void)put(4, 1, 0, SCHED_YIELD, 0);
	assert_int_equal(rr_pick(&rr, 0), 4);
}

static void a_wake_goes_to_the_last_cpu_only_if_that_is_idle(void **state)
{
	(void)state;
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 0), 0);
	assert_int_equal(rr_pick(&rr, 0), 1);
	assert_int_equal(rr_pick(&rr, 1), -ENOENT); /* idle now */
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 0), 1);
	/* one task is enough for an idle CPU */
	assert_int_equal(put(2, 3, 1, SCHED_WAKE, 0), 0);
}

static void an_idle_cpu_that_wakes_keeps_the_task(void **state)
{
	(void)state;
	assert_int_equal(rr_pick(&rr, 0), -ENOENT);
	assert_int_equal(rr_pick(&rr, 1), -ENOENT);
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 0), 0);
}

static void a_slice_that_ends_moves_to_an_idle_cpu(void **state)
{
	(void)state;
	assert_int_equal(rr_pick(&rr, 1), -ENOENT);
	assert_int_equal(put(1, 3, 0, SCHED_PREEMPTED, 0), 1);
	assert_int_equal(put(2, 1, 0, SCHED_PREEMPTED, 0), 0);
}

static void affinity_is_kept(void **state)
{
	(void)state;
	assert_int_equal(put(1, 2, 0, SCHED_WAKE, 0), 1);
	assert_int_equal(rr_pick(&rr, 0), -ENOENT);
	assert_int_equal(rr_pick(&rr, 1), 1);
	/* of a CPU that is not there: runs here rather than never */
	assert_int_equal(put(1, 1ull << 9, 9, SCHED_WAKE, 1), 1);
}

static void dequeue_takes_it_from_anywhere(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		(void)put(i, 1, 0, SCHED_YIELD, 0);
	assert_int_equal(rr_dequeue(&rr, 2), 0);
	assert_int_equal(rr_dequeue(&rr, 2), -ENOENT);
	assert_int_equal(rr_dequeue(&rr, 0), 0);
	assert_int_equal(rr_dequeue(&rr, 3), 0);
	(void)put(9, 1, 0, SCHED_YIELD, 0);
	assert_int_equal(rr_pick(&rr, 0), 1);
	assert_int_equal(rr_pick(&rr, 0), 9);
	assert_int_equal(rr_dequeue(&rr, TASKS_MAX), -ENOENT);
}

static void a_slice_counts_only_while_somebody_waits(void **state)
{
	(void)state;
	assert_false(rr_contended(&rr, 0));
	assert_int_equal(rr_tick(&rr, 0, 5 * RR_SLICE_NS), RR_SLICE_NS);
	(void)put(1, 1, 0, SCHED_YIELD, 0);
	assert_true(rr_contended(&rr, 0));
	assert_int_equal(rr_tick(&rr, 0, RR_SLICE_NS / 4), RR_SLICE_NS / 4 * 3);
	assert_int_equal(rr_tick(&rr, 0, RR_SLICE_NS), 0);
	assert_false(rr_contended(&rr, GATE_MAX_CPUS));
}

static void nothing_is_lost_in_a_long_random_run(void **state)
{
	bool queued[TASKS_MAX] = {false};
	unsigned n = 0;
	int slot;

	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		uint32_t s = (uint32_t)rand() % TASKS_MAX;
		unsigned cpu = (unsigned)rand() % 2;

		switch (rand() % 4) {
		case 0:
		case 1:
			(void)put(s, 1 + (uint64_t)rand() % 3, cpu, SCHED_WAKE,
				  (unsigned)rand() % 2);
			n += !queued[s];
			queued[s] = true;
			break;
		case 2:
			slot = rr_pick(&rr, cpu);
			if (slot >= 0) {
				assert_true(queued[slot]);
				queued[slot] = false;
				n--;
			}
			break;
		default:
			assert_int_equal(rr_dequeue(&rr, s), queued[s] ? 0 : -ENOENT);
			n -= queued[s];
			queued[s] = false;
		}
		assert_int_equal(rr_queued(&rr, 0) + rr_queued(&rr, 1), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_only_a_sane_number_of_cpus),
		cmocka_unit_test_setup(first_in_first_out, fresh),
		cmocka_unit_test_setup(a_task_is_queued_once, fresh),
		cmocka_unit_test_setup(an_idle_cpu_steals_what_may_run_there, fresh),
		cmocka_unit_test_setup(a_wake_goes_to_the_last_cpu_only_if_that_is_idle, fresh),
		cmocka_unit_test_setup(an_idle_cpu_that_wakes_keeps_the_task, fresh),
		cmocka_unit_test_setup(a_slice_that_ends_moves_to_an_idle_cpu, fresh),
		cmocka_unit_test_setup(affinity_is_kept, fresh),
		cmocka_unit_test_setup(dequeue_takes_it_from_anywhere, fresh),
		cmocka_unit_test_setup(a_slice_counts_only_while_somebody_waits, fresh),
		cmocka_unit_test_setup(nothing_is_lost_in_a_long_random_run, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
