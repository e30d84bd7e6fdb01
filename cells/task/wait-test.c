/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>

#include <theseus/spinlock.h>

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

/* ---- a signal that comes late ---- */

#define LATE_ROUNDS 100000u

struct late {
	struct spinlock lock;
	uint32_t first, last, stop;
};
static struct wait late_wait;

static struct wait *late_of(uint32_t slot)
{
	(void)slot;
	return &late_wait;
}

static void *signals_all_the_time(void *arg)
{
	struct late *late = arg;
	struct waiters list = {&late->first, &late->last, late_of};
	uint32_t slot;

	while (!__atomic_load_n(&late->stop, __ATOMIC_RELAXED)) {
		spin_lock(&late->lock);
		if (late->first)
			(void)waiters_end_first(list, 0, &slot);
		spin_unlock(&late->lock);
	}
	return NULL;
}

/* Waits, times out, and waits for something else: the first event's signal is not for that. */
static void a_signal_ends_no_later_wait(void **state)
{
	struct late late = {.first = 0};
	struct waiters list = {&late.first, &late.last, late_of};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, signals_all_the_time, &late), 0);
	for (unsigned i = 0; i < LATE_ROUNDS; i++) {
		spin_lock(&late.lock);
		waiters_append(list, 0);
		wait_begin(&late_wait);
		spin_unlock(&late.lock);
		for (unsigned k = i % 64; k > 0; k--)
			__builtin_ia32_pause();
		(void)wait_end(&late_wait, -ETIMEDOUT);
		if (__atomic_load_n(&late_wait.linked, __ATOMIC_ACQUIRE)) {
			spin_lock(&late.lock);
			if (late_wait.linked)
				waiters_remove(list, &late_wait);
			spin_unlock(&late.lock);
		}
		(void)wait_take(&late_wait);
		wait_begin(&late_wait);
		for (unsigned k = 0; k < 16; k++)
			__builtin_ia32_pause();
		assert_true(wait_end(&late_wait, -ETIMEDOUT));
		(void)wait_take(&late_wait);
	}
	__atomic_store_n(&late.stop, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
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

/* The least of all that are queued is the first, after every step. */
static void the_first_is_the_least_in_a_random_run(void **state)
{
	struct timer_queue q = {NULL};
	struct timer t[64] = {{0}};

	(void)state;
	srand(7);
	for (int i = 0; i < 100000; i++) {
		struct timer *one = &t[rand() % 64];
		const struct timer *least = NULL;

		if (one->queued)
			timer_remove(&q, one);
		else
			timer_add(&q, one, (uint64_t)rand() % 100);
		for (int k = 0; k < 64; k++) {
			if (t[k].queued && (!least || timer_before(&t[k], least)))
				least = &t[k];
		}
		assert_ptr_equal(q.first, least);
	}
}

#define SLEEPERS 10000u

static void ten_thousand_sleepers_wake_in_order(void **state)
{
	struct timer *t = calloc(SLEEPERS, sizeof(*t)), *one;
	struct timer_queue q = {NULL};
	unsigned left = SLEEPERS;
	uint64_t last = 0;

	(void)state;
	assert_non_null(t);
	srand(11);
	for (unsigned i = 0; i < SLEEPERS; i++)
		timer_add(&q, &t[i], i % 3 ? (uint64_t)rand() % 1000000 : i);
	for (unsigned i = 0; i < SLEEPERS; i += 7, left--)
		timer_remove(&q, &t[i]);
	while ((one = timer_expired(&q, UINT64_MAX - 1))) {
		assert_true(one->deadline_ns >= last);
		assert_true((one - t) % 7 != 0);
		last = one->deadline_ns;
		left--;
	}
	assert_int_equal(left, 0);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_ends_once_with_the_first_result),
		cmocka_unit_test(a_signal_ends_no_later_wait),
		cmocka_unit_test(of_two_that_end_it_one_wins),
		cmocka_unit_test(timers_expire_in_order_of_deadline),
		cmocka_unit_test(a_removed_timer_does_not_expire),
		cmocka_unit_test(the_first_is_the_least_in_a_random_run),
		cmocka_unit_test(ten_thousand_sleepers_wake_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
