/* SPDX-License-Identifier: MIT */
/* What every scheduler promises, tried on the operations table of the cell itself. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/heap.h>
#include <theseus/sched.h>

/* The cell is linked as it is; this is its surroundings. */
extern const struct sched_ops SCHED_UNDER_TEST;
const struct iface_slot __slot_cell_self;

void heap_free(void *p)
{
	free(p);
}

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	(void)owner;
	return malloc(bytes);
}

static const struct sched_ops *ops = &SCHED_UNDER_TEST;

#define MS 1000000ull
#define SLOTS 512u

static unsigned put(uint32_t slot, uint64_t affinity, unsigned last, enum sched_why why,
		    unsigned here)
{
	struct sched_task task = {.slot = slot, .last_cpu = last, .affinity = affinity};

	return ops->enqueue(&task, why, here) & ~SCHED_URGENT;
}

static void ran(uint32_t slot, uint64_t affinity, unsigned cpu, enum sched_why why, uint64_t ns)
{
	struct sched_task task = {
		.slot = slot, .last_cpu = cpu, .affinity = affinity, .ran_ns = ns};

	(void)ops->enqueue(&task, why, cpu);
}

/* Takes everything out, whatever the test before left. */
static int fresh(void **state)
{
	(void)state;
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		(void)ops->dequeue(slot);
	return ops->start(2) < 0 || ops->reserve(SLOTS) < 0;
}

static void takes_only_a_sane_number_of_cpus(void **state)
{
	(void)state;
	assert_int_equal(ops->start(0), -EINVAL);
	assert_int_equal(ops->start(GATE_MAX_CPUS + 1), -EINVAL);
	assert_int_equal(ops->start(GATE_MAX_CPUS), 0);
}

static void a_slot_that_was_not_reserved_is_refused(void **state)
{
	(void)state;
	assert_int_equal(put(TASKS_MAX, 3, 0, SCHED_NEW, 1), 1);
	assert_int_equal(ops->dequeue(TASKS_MAX), -ENOENT);
	assert_int_equal(ops->pick(1), -ENOENT);
	assert_int_equal(ops->pick(GATE_MAX_CPUS), -ENOENT);
	assert_false(ops->contended(GATE_MAX_CPUS));
	assert_int_equal(ops->queued(GATE_MAX_CPUS), 0);
	assert_int_equal(ops->helper(GATE_MAX_CPUS), -ENOENT);
}

static void equals_come_first_in_first_out(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(put(i, 1, 0, SCHED_NEW, 0), 0);
	assert_int_equal(ops->queued(0), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ops->pick(0), i);
	assert_int_equal(ops->pick(0), -ENOENT);
}

static int give_way(uint32_t slot, uint64_t affinity, unsigned cpu, enum sched_why why,
		    unsigned *ret_where)
{
	struct sched_task task = {.slot = slot, .last_cpu = cpu, .affinity = affinity};

	return ops->replace(&task, why, cpu, ret_where);
}

static void who_gives_way_comes_after_all_others(void **state)
{
	unsigned where = 9;

	(void)state;
	for (uint32_t i = 0; i < 5; i++) /* 0, 1: bound; 2, 3, 4: movable */
		assert_int_equal(put(i, i < 2 ? 1 : 3, 0, SCHED_NEW, 0), 0);
	assert_int_equal(ops->pick(0), 0);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(give_way(i % 5, i % 5 < 2 ? 1 : 3, 0, SCHED_YIELD, &where),
				 (i + 1) % 5);
		assert_int_equal(where, 0);
		assert_int_equal(ops->queued(0), 4);
	}
	assert_int_equal(ops->dequeue(2), 0);
	assert_int_equal(ops->dequeue(3), 0);
	assert_int_equal(ops->dequeue(4), 0);
	for (uint32_t i = 0; i < 4; i++) /* one list now */
		assert_int_equal(give_way(i % 2, 1, 0, SCHED_YIELD, &where), (i + 1) % 2);
	assert_int_equal(ops->dequeue(1), 0);
	(void)put(5, 1, 0, SCHED_NEW, 0);
	(void)put(6, 1, 0, SCHED_NEW, 0);
	assert_int_equal(give_way(0, 1, 0, SCHED_YIELD, &where), 5);
	assert_int_equal(ops->dequeue(6), 0); /* the first, since then */
	assert_int_equal(give_way(5, 1, 0, SCHED_YIELD, &where), 0);
	assert_int_equal(ops->dequeue(5), 0);
	assert_int_equal(give_way(0, 1, 0, SCHED_YIELD, &where), 0); /* nobody else */
	assert_int_equal(give_way(0, 1, 0, SCHED_PREEMPTED, &where), 0);
	assert_int_equal(ops->queued(0), 0);
	assert_int_equal(ops->pick(0), -ENOENT);
}

static void who_gives_way_goes_where_it_may_run(void **state)
{
	unsigned where = 9;

	(void)state;
	(void)put(0, 3, 0, SCHED_NEW, 0);
	(void)put(1, 1, 0, SCHED_NEW, 0);
	assert_int_equal(ops->pick(0), 0);
	/* its affinity was changed while it ran */
	assert_int_equal(give_way(0, 2, 0, SCHED_YIELD, &where), 1);
	assert_int_equal(where, 1);
	assert_int_equal(ops->queued(0), 0);
	assert_int_equal(ops->pick(1), 0);
	assert_int_equal(give_way(TASKS_MAX, 1, 0, SCHED_YIELD, &where), -ENOENT);
	assert_int_equal(give_way(0, 1, GATE_MAX_CPUS, SCHED_YIELD, &where), -ENOENT);
}

static void movable_and_bound_tasks_share_one_order(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(put(i, i & 1 ? 1 : 3, 0, SCHED_NEW, 0), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(ops->pick(0), i);
}

static void a_task_is_queued_once(void **state)
{
	(void)state;
	assert_int_equal(put(7, 3, 0, SCHED_NEW, 0), 0);
	assert_int_equal(put(7, 3, 1, SCHED_WAKE, 1), 0);
	assert_int_equal(ops->pick(0), 7);
	assert_int_equal(ops->pick(0), -ENOENT);
}

static void an_idle_cpu_steals_what_may_run_there(void **state)
{
	(void)state;
	(void)put(1, 1, 0, SCHED_NEW, 0); /* bound to CPU 0 */
	(void)put(2, 3, 0, SCHED_NEW, 0);
	(void)put(3, 3, 0, SCHED_NEW, 0);
	assert_int_equal(ops->helper(0), -ENOENT); /* nobody is known to be idle */
	assert_int_equal(ops->pick(1), 2);
	assert_int_equal(ops->pick(1), 3);
	assert_int_equal(ops->pick(1), -ENOENT);
	assert_int_equal(ops->helper(0), -ENOENT); /* what is left may not run there */
	(void)put(4, 3, 0, SCHED_NEW, 0);
	assert_int_equal(ops->helper(0), 1);
	assert_int_equal(ops->pick(1), 4);
	assert_int_equal(ops->queued(0), 1);
	assert_int_equal(ops->pick(0), 1);
}

static void bound_tasks_do_not_hide_a_movable_one(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		(void)put(i, 1, 0, SCHED_NEW, 0);
	(void)put(300, 3, 0, SCHED_NEW, 0);
	assert_int_equal(ops->pick(1), 300);
	assert_int_equal(ops->pick(1), -ENOENT);
}

static void a_wake_goes_to_the_last_cpu_only_if_that_is_idle(void **state)
{
	(void)state;
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 0), 0);
	assert_int_equal(ops->pick(0), 1);
	assert_int_equal(ops->pick(1), -ENOENT); /* idle now */
	assert_int_equal(put(2, 3, 1, SCHED_WAKE, 0), 1);
	/* one task is enough for an idle CPU */
	assert_int_equal(put(3, 3, 1, SCHED_WAKE, 0), 0);
}

static void an_idle_cpu_that_wakes_keeps_the_task(void **state)
{
	(void)state;
	assert_int_equal(ops->pick(0), -ENOENT);
	assert_int_equal(ops->pick(1), -ENOENT);
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 0), 0);
}

static void a_new_task_follows_its_parent_unless_it_may_not(void **state)
{
	(void)state;
	assert_int_equal(ops->pick(1), -ENOENT);
	assert_int_equal(put(1, 3, 0, SCHED_NEW, 0), 0);
	assert_int_equal(put(2, 2, 0, SCHED_NEW, 0), 1);
}

static void a_slice_that_ends_moves_to_where_fewer_wait(void **state)
{
	(void)state;
	assert_int_equal(put(1, 3, 0, SCHED_NEW, 0), 0);
	assert_int_equal(ops->pick(0), 1);
	assert_int_equal(put(2, 3, 0, SCHED_NEW, 0), 0);
	ran(1, 3, 0, SCHED_PREEMPTED, 10 * MS);
	assert_int_equal(ops->queued(0), 1);
	assert_int_equal(ops->queued(1), 1);
	assert_int_equal(ops->pick(0), 2);
	assert_int_equal(ops->pick(1), 1);
	ran(2, 1, 0, SCHED_PREEMPTED, 10 * MS); /* bound */
	assert_int_equal(ops->queued(0), 1);
}

static void affinity_is_kept(void **state)
{
	(void)state;
	assert_int_equal(put(1, 2, 0, SCHED_WAKE, 0), 1);
	assert_int_equal(ops->pick(0), -ENOENT);
	assert_int_equal(ops->pick(1), 1);
	/* of a CPU that is not there: runs here rather than never */
	assert_int_equal(put(2, 1ull << 9, 9, SCHED_WAKE, 1), 1);
}

static void dequeue_takes_it_from_anywhere(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		(void)put(i, i & 1 ? 1 : 3, 0, SCHED_NEW, 0);
	assert_int_equal(ops->dequeue(2), 0);
	assert_int_equal(ops->dequeue(2), -ENOENT);
	assert_int_equal(ops->dequeue(0), 0);
	assert_int_equal(ops->dequeue(3), 0);
	(void)put(9, 1, 0, SCHED_NEW, 0);
	assert_int_equal(ops->pick(0), 1);
	assert_int_equal(ops->pick(0), 9);
}

static void a_slice_counts_only_while_somebody_waits(void **state)
{
	(void)state;
	(void)put(0, 1, 0, SCHED_NEW, 0);
	assert_int_equal(ops->pick(0), 0);
	assert_false(ops->contended(0));
	assert_true(ops->tick(0, 1000 * MS) > 0);
	(void)put(1, 1, 0, SCHED_NEW, 0);
	assert_true(ops->contended(0));
	assert_true(ops->tick(0, 0) > 0);
	assert_int_equal(ops->tick(0, 20 * MS), 0);
}

/* The boot task runs before it was ever in a queue. */
static void a_task_that_was_never_picked_may_block_or_give_way(void **state)
{
	struct sched_task task = {.slot = SLOTS - 1, .affinity = 3, .ran_ns = MS};

	(void)state;
	ops->blocked(&task, 0);
	assert_int_equal(ops->pick(0), -ENOENT);
	ran(SLOTS - 2, 3, 0, SCHED_YIELD, MS);
	assert_int_equal(ops->pick(0), SLOTS - 2);
}

static void a_task_woken_before_it_left_is_not_lost(void **state)
{
	struct sched_task task = {.slot = 1, .affinity = 3, .ran_ns = MS};

	(void)state;
	(void)put(1, 3, 0, SCHED_NEW, 0);
	assert_int_equal(ops->pick(0), 1);
	/* CPU 1 wakes it while CPU 0 is about to put it away; once it runs there already */
	(void)put(1, 3, 0, SCHED_WAKE, 1);
	ops->blocked(&task, 0);
	assert_int_equal(ops->pick(1), 1);
	(void)put(1, 3, 1, SCHED_WAKE, 0);
	assert_int_equal(ops->pick(0), 1);
	ops->blocked(&task, 1);
	ops->blocked(&task, 0);
	assert_int_equal(ops->pick(0), -ENOENT);
	assert_int_equal(ops->pick(1), -ENOENT);
	assert_int_equal(put(1, 3, 1, SCHED_WAKE, 1), 1);
	assert_int_equal(ops->pick(1), 1);
}

/* Everybody spins: nobody waits for ever, on whichever CPU and with whatever affinity. */
static void nobody_starves(void **state)
{
	const uint64_t affinity[] = {1, 2, 3, 3, 3, 1, 3};
	const int32_t priority[] = {0, 0, 0, SCHED_PRIORITY_MIN, SCHED_PRIORITY_MAX, 0, 5};
	unsigned turns[ARRAY_SIZE(affinity)] = {0};
	int now[2];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(affinity); i++) {
		struct sched_task task = {
			.slot = i, .affinity = affinity[i], .priority = priority[i]};

		(void)ops->enqueue(&task, SCHED_NEW, 0);
	}
	for (unsigned cpu = 0; cpu < 2; cpu++)
		now[cpu] = ops->pick(cpu);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned cpu = round & 1;
		struct sched_task task = {.slot = (uint32_t)now[cpu], .last_cpu = cpu};

		assert_true(now[cpu] >= 0);
		task.affinity = affinity[now[cpu]];
		task.priority = priority[now[cpu]];
		task.ran_ns = 10 * MS;
		(void)ops->enqueue(&task, SCHED_PREEMPTED, cpu);
		now[cpu] = ops->pick(cpu);
		assert_true(now[cpu] >= 0);
		assert_true(affinity[now[cpu]] >> cpu & 1);
		turns[now[cpu]]++;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(affinity); i++)
		assert_true(turns[i] >= 4);
}

static void nothing_is_lost_in_a_long_random_run(void **state)
{
	enum { AWAY, QUEUED, RUNNING } now[SLOTS] = {AWAY};
	int on[2] = {-1, -1};
	unsigned n = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 300000; i++) {
		uint32_t s = (uint32_t)rand() % SLOTS;
		unsigned cpu = (unsigned)rand() % 2;
		struct sched_task task = {.slot = s,
					  .affinity = 1 + (uint64_t)rand() % 3,
					  .priority = rand() % 32 - 16,
					  .ran_ns = (uint64_t)rand() % (10 * MS)};

		switch (rand() % 4) {
		case 0:
		case 1:
			if (now[s] == RUNNING)
				break;
			task.ran_ns = 0;
			(void)ops->enqueue(&task, SCHED_WAKE, cpu);
			n += now[s] == AWAY;
			now[s] = QUEUED;
			break;
		case 2:
			if (on[cpu] >= 0 && rand() % 2) {
				unsigned where;
				int next;

				task.slot = (uint32_t)on[cpu];
				next = ops->replace(&task, rand() % 2 ? SCHED_YIELD : SCHED_PREEMPTED,
						    cpu, &where);
				now[on[cpu]] = QUEUED;
				assert_true(where < 2);
				assert_true(next < 0 || now[next] == QUEUED);
				n += next < 0;
				on[cpu] = next;
				if (next >= 0)
					now[next] = RUNNING;
				break;
			}
			if (on[cpu] >= 0) {
				task.slot = (uint32_t)on[cpu];
				now[on[cpu]] = AWAY;
				if (rand() % 2) {
					(void)ops->enqueue(&task, SCHED_PREEMPTED, cpu);
					now[on[cpu]] = QUEUED;
					n++;
				} else {
					ops->blocked(&task, cpu);
				}
			}
			on[cpu] = ops->pick(cpu);
			if (on[cpu] >= 0) {
				assert_int_equal(now[on[cpu]], QUEUED);
				now[on[cpu]] = RUNNING;
				n--;
			}
			break;
		default:
			assert_int_equal(ops->dequeue(s), now[s] == QUEUED ? 0 : -ENOENT);
			n -= now[s] == QUEUED;
			if (now[s] == QUEUED)
				now[s] = AWAY;
		}
		assert_int_equal(ops->queued(0) + ops->queued(1), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_only_a_sane_number_of_cpus),
		cmocka_unit_test_setup(a_task_that_was_never_picked_may_block_or_give_way, fresh),
		cmocka_unit_test_setup(a_slot_that_was_not_reserved_is_refused, fresh),
		cmocka_unit_test_setup(equals_come_first_in_first_out, fresh),
		cmocka_unit_test_setup(who_gives_way_comes_after_all_others, fresh),
		cmocka_unit_test_setup(who_gives_way_goes_where_it_may_run, fresh),
		cmocka_unit_test_setup(movable_and_bound_tasks_share_one_order, fresh),
		cmocka_unit_test_setup(a_task_is_queued_once, fresh),
		cmocka_unit_test_setup(an_idle_cpu_steals_what_may_run_there, fresh),
		cmocka_unit_test_setup(bound_tasks_do_not_hide_a_movable_one, fresh),
		cmocka_unit_test_setup(a_wake_goes_to_the_last_cpu_only_if_that_is_idle, fresh),
		cmocka_unit_test_setup(an_idle_cpu_that_wakes_keeps_the_task, fresh),
		cmocka_unit_test_setup(a_new_task_follows_its_parent_unless_it_may_not, fresh),
		cmocka_unit_test_setup(a_slice_that_ends_moves_to_where_fewer_wait, fresh),
		cmocka_unit_test_setup(affinity_is_kept, fresh),
		cmocka_unit_test_setup(dequeue_takes_it_from_anywhere, fresh),
		cmocka_unit_test_setup(a_slice_counts_only_while_somebody_waits, fresh),
		cmocka_unit_test_setup(a_task_woken_before_it_left_is_not_lost, fresh),
		cmocka_unit_test_setup(nobody_starves, fresh),
		cmocka_unit_test_setup(nothing_is_lost_in_a_long_random_run, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
