/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wait.h"

static void a_wait_ends_once_with_the_first_result(void **state)
{
	struct wait w = {0};

	(void)state;
	assert_false(wait_end(&w, 0)); /* does not wait yet */
	wait_begin(&w);
	assert_true(wait_end(&w, -ETIMEDOUT));
	assert_false(wait_end(&w, 0));
	assert_int_equal(wait_take(&w), -ETIMEDOUT);
	assert_false(wait_end(&w, 0));
	wait_begin(&w);
	assert_true(wait_end(&w, 0));
	assert_int_equal(wait_take(&w), 0);
}

struct race {
	struct wait wait;
	pthread_barrier_t barrier;
	unsigned wins[2];
	int results[2];
};

#define RACE_ROUNDS 2000

static void race_as(struct race *race, int who)
{
	for (int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&race->barrier);
		race->wins[who] += wait_end(&race->wait, who ? -ETIMEDOUT : 0);
		pthread_barrier_wait(&race->barrier);
	}
}

static void *second(void *arg)
{
	race_as(arg, 1);
	return NULL;
}

static void *first(void *arg)
{
	race_as(arg, 0);
	return NULL;
}

static void of_two_that_end_it_one_wins(void **state)
{
	struct race race = {.wins = {0}};
	pthread_t threads[2];
	int results[2] = {0};

	(void)state;
	pthread_barrier_init(&race.barrier, NULL, 3);
	pthread_create(&threads[0], NULL, first, &race);
	pthread_create(&threads[1], NULL, second, &race);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		wait_begin(&race.wait);
		pthread_barrier_wait(&race.barrier);
		pthread_barrier_wait(&race.barrier);
		results[wait_take(&race.wait) == -ETIMEDOUT]++;
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	pthread_barrier_destroy(&race.barrier);
	assert_int_equal(race.wins[0] + race.wins[1], RACE_ROUNDS);
	assert_int_equal(race.wins[0], results[0]);
	assert_int_equal(race.wins[1], results[1]);
}

static void timers_expire_in_order_of_deadline(void **state)
{
	struct timer_queue q = {NULL};
	struct timer t[4] = {{0}};

	(void)state;
	assert_true(timer_next(&q) == UINT64_MAX);
	timer_add(&q, &t[0], 30);
	timer_add(&q, &t[1], 10);
	timer_add(&q, &t[2], 20);
	timer_add(&q, &t[3], 10);
	assert_int_equal(timer_next(&q), 10);
	assert_null(timer_expired(&q, 9));
	assert_ptr_equal(timer_expired(&q, 20), &t[1]);
	assert_ptr_equal(timer_expired(&q, 20), &t[3]);
	assert_ptr_equal(timer_expired(&q, 20), &t[2]);
	assert_null(timer_expired(&q, 20));
	assert_int_equal(timer_next(&q), 30);
}

static void a_removed_timer_does_not_expire(void **state)
{
	struct timer_queue q = {NULL};
	struct timer t[3] = {{0}};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		timer_add(&q, &t[i], i);
	timer_remove(&q, &t[1]);
	timer_remove(&q, &t[1]);
	assert_ptr_equal(timer_expired(&q, 9), &t[0]);
	assert_ptr_equal(timer_expired(&q, 9), &t[2]);
	timer_remove(&q, &t[2]);
	assert_null(timer_expired(&q, 9));
}

static void the_queue_stays_sorted_in_a_random_run(void **state)
{
	struct timer_queue q = {NULL};
	struct timer t[64] = {{0}};

	(void)state;
	srand(7);
	for (int i = 0; i < 100000; i++) {
		struct timer *one = &t[rand() % 64];

		if (one->queued)
			timer_remove(&q, one);
		else
			timer_add(&q, one, (uint64_t)rand() % 100);
		for (struct timer *at = q.first; at && at->next; at = at->next) {
			assert_true(at->deadline_ns <= at->next->deadline_ns);
			assert_ptr_equal(at->next->before, at);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_ends_once_with_the_first_result),
		cmocka_unit_test(of_two_that_end_it_one_wins),
		cmocka_unit_test(timers_expire_in_order_of_deadline),
		cmocka_unit_test(a_removed_timer_does_not_expire),
		cmocka_unit_test(the_queue_stays_sorted_in_a_random_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
