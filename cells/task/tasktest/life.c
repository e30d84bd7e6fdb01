/* SPDX-License-Identifier: MIT */
#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/heap.h>

#include "tasktest.h"

#define PINGS 20000u
#define PINGS_FAR 100u /* with two interrupts each */

static void join_returns_the_exit_value(void)
{
	struct task_exit exit = finish(start(ROLE_RETURN, 1234, 0));

	CHECK_EQUAL(exit.end, TASK_COMPLETED);
	CHECK_EQUAL(exit.value, 1234);
	exit = finish(start(ROLE_EXIT, 77, 0));
	CHECK_EQUAL(exit.end, TASK_COMPLETED);
	CHECK_EQUAL(exit.value, 77);
	exit = finish(start(ROLE_AGAIN, 0, 0));
	CHECK_EQUAL(exit.value, 1000);
}

/* Pages and heap objects in use, but for what is kept for speed. */
static void in_use(uint64_t ret_counts[2])
{
	struct mapped_stats mapped;
	struct heap_stats heap;

	task_trim();
	heap_trim();
	mapped_stats(&mapped);
	heap_stats((struct cell_ref){0}, &heap);
	ret_counts[0] = mapped.pages - heap.pages;
	ret_counts[1] = heap.objects;
}

static void a_thousand_tasks_leave_nothing_behind(void)
{
	unsigned tasks = task_count();
	uint64_t before[2], after[2];

	for (unsigned i = 0; i < 20; i++)
		(void)finish(start(ROLE_RETURN, i, 0));
	in_use(before);
	for (unsigned i = 0; i < 1000; i++)
		CHECK_EQUAL(finish(start(ROLE_RETURN, i, 0)).value, i);
	in_use(after);
	CHECK_EQUAL(after[0], before[0]);
	CHECK_EQUAL(after[1], before[1]);
	CHECK(task_count() <= tasks); /* what belongs to the boot ends meanwhile */
}

static void wrong_joins_are_refused(void)
{
	struct task_attr attr = {.name = "detached", .detached = true};
	struct task_ref task = start(ROLE_WAIT, 0, 0), other;
	struct task_exit exit;

	CHECK_EQUAL(task_join(task_self(), CLOCK_NEVER, &exit), -EDEADLK);
	CHECK_EQUAL(task_join((struct task_ref){0, 0}, CLOCK_NEVER, &exit), -ESTALE);
	CHECK_EQUAL(task_join((struct task_ref){9999, 1}, CLOCK_NEVER, &exit), -ESTALE);
	CHECK_EQUAL(task_join(task, clock_after(CLOCK_MS), &exit), -ETIMEDOUT);
	task_event_signal(&shared()->event);
	CHECK_EQUAL(finish(task).value, 0);
	CHECK_EQUAL(task_join(task, CLOCK_NEVER, &exit), -ESTALE);
	CHECK_EQUAL(task_kill(task), -ESTALE);
	CHECK_EQUAL(task_spawn(&attr, (struct task_ops_h){{0, 0}}, 0, &other), -EINVAL);
}

#define MANY 700u /* more than two chunks of slots */

static void many_slots_are_taken_and_come_back(void)
{
	struct task_ref tasks[MANY];
	unsigned before = task_count(), n = 0;

	while (n < MANY)
		tasks[n++] = start(ROLE_WAIT, 0, 0);
	CHECK_EQUAL(task_count(), before + MANY);
	task_event_signal(&shared()->event);
	while (n)
		CHECK_EQUAL(finish(tasks[--n]).value, 0);
	CHECK_EQUAL(task_count(), before);
}

static void kill_ends_waits_and_repeating_tasks(void)
{
	struct task_ref waiting = start(ROLE_WAIT, 0, 0), late = start(ROLE_WAIT_LONG, 0, 0);
	struct task_ref again = start(ROLE_FOREVER, 0, 0);

	CHECK(reaches(&shared()->counts[0], 10));
	CHECK_EQUAL(task_kill(waiting), 0);
	CHECK_EQUAL(task_kill(late), 0);
	CHECK_EQUAL(task_kill(again), 0);
	CHECK_EQUAL(finish(waiting).value, -ECANCELED);
	CHECK_EQUAL(finish(late).value, -ECANCELED);
	CHECK_EQUAL(finish(again).end, TASK_KILLED);
}

static void sleeps_end_in_order_and_not_early(void)
{
	struct task_ref tasks[4];
	uint64_t begin = clock_now_ns();

	for (unsigned i = 0; i < 4; i++)
		tasks[i] = start(ROLE_SLEEP, 20 - 5 * i, 0);
	for (unsigned i = 4; i-- > 0;) {
		CHECK_EQUAL(finish(tasks[i]).value, 0);
		CHECK(clock_now_ns() - begin >= (20 - 5 * i) * CLOCK_MS);
	}
	CHECK_EQUAL(task_sleep_until(0), 0);
}

static void a_wait_times_out_or_not(void)
{
	struct task_event *e = &shared()->event;
	uint64_t begin = clock_now_ns();

	CHECK_EQUAL(task_event_wait(e, 0, clock_after(3 * CLOCK_MS)), -ETIMEDOUT);
	CHECK(clock_now_ns() - begin >= 3 * CLOCK_MS);
	CHECK_EQUAL(task_event_wait(e, 0, 0), -ETIMEDOUT);
	task_event_signal(e);
	CHECK_EQUAL(task_event_wait(e, 0, 0), 0);
	CHECK_EQUAL(task_event_wait(e, 1, clock_after(CLOCK_MS)), -ETIMEDOUT);
	CHECK_EQUAL(e->first, 0);
}

static void no_wake_is_lost(void)
{
	struct task_ref a, b;
	uint64_t begin = clock_now_ns();

	a = start(ROLE_PING, PINGS, 1);
	b = start(ROLE_PONG, PINGS, 1);
	CHECK_EQUAL(finish(a).value, PINGS);
	CHECK_EQUAL(finish(b).value, PINGS);
	say("# round trip on one CPU: %llu ns",
	    (unsigned long long)(clock_now_ns() - begin) / PINGS);
}

static void no_wake_is_lost_between_cpus(void)
{
	struct task_ref a, b;
	uint64_t begin = clock_now_ns();

	a = start(ROLE_PING, PINGS_FAR, 1);
	b = start(ROLE_PONG, PINGS_FAR, 2);
	CHECK_EQUAL(finish(a).value, PINGS_FAR);
	CHECK_EQUAL(finish(b).value, PINGS_FAR);
	say("# round trip between CPUs: %llu ns",
	    (unsigned long long)(clock_now_ns() - begin) / PINGS_FAR);
}

static void yielding_costs(void)
{
	struct task_ref other = start(ROLE_FOREVER, 0, 1), self;
	uint64_t begin, switches = 200000;

	self = start(ROLE_FOREVER, 1, 1);
	CHECK(reaches(&shared()->counts[1], 100));
	begin = clock_now_ns();
	CHECK(reaches(&shared()->counts[1], shared()->counts[1] + switches / 2));
	say("# yield: about %llu ns", (unsigned long long)((clock_now_ns() - begin) / switches));
	(void)task_kill(other);
	(void)task_kill(self);
	(void)finish(other);
	(void)finish(self);
}

static bool blocks(struct task_ref task)
{
	uint64_t limit = clock_after(10 * CLOCK_S);

	while (info_of_task(task).state != TASK_BLOCKED && clock_now_ns() < limit)
		task_yield();
	return info_of_task(task).state == TASK_BLOCKED;
}

static void one_signal_wakes_the_one_who_waited_longest(void)
{
	struct task_ref tasks[4];

	CHECK(!task_event_signal_one(&shared()->event));
	for (unsigned i = 0; i < 4; i++) {
		tasks[i] = start(ROLE_WAIT, 9, 1);
		CHECK(blocks(tasks[i]));
	}
	/* one from the middle leaves */
	CHECK_EQUAL(task_kill(tasks[1]), 0);
	CHECK_EQUAL(finish(tasks[1]).value, -ECANCELED);
	CHECK(task_event_signal_one(&shared()->event));
	CHECK_EQUAL(finish(tasks[0]).value, 0);
	CHECK_EQUAL(info_of_task(tasks[2]).state, TASK_BLOCKED);
	CHECK(task_event_signal_one(&shared()->event));
	CHECK_EQUAL(finish(tasks[2]).value, 0);
	CHECK_EQUAL(info_of_task(tasks[3]).state, TASK_BLOCKED);
	CHECK(task_event_signal_one(&shared()->event));
	CHECK_EQUAL(finish(tasks[3]).value, 0);
	CHECK(!task_event_signal_one(&shared()->event));
	CHECK_EQUAL(shared()->event.count, 5);
}

static void tasks_on_one_cpu_share_it(void)
{
	struct task_ref tasks[3];
	uint64_t seen;

	for (unsigned i = 0; i < 3; i++)
		tasks[i] = start(ROLE_SPIN, i, 1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++) {
			seen = __atomic_load_n(&shared()->counts[i], __ATOMIC_ACQUIRE);
			CHECK(reaches(&shared()->counts[i], seen + 1));
		}
	}
	stop_all();
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQUAL(finish(tasks[i]).value, 0);
}

static void an_idle_cpu_takes_work(void)
{
	struct task_ref tasks[2];
	uint64_t limit = clock_after(10 * CLOCK_S);
	uint32_t cpus[2] = {0, 0};

	for (unsigned i = 0; i < 2; i++)
		tasks[i] = start(ROLE_SPIN, i, 0);
	while (cpus[0] == cpus[1] && clock_now_ns() < limit) {
		CHECK_EQUAL(task_sleep_until(clock_after(10 * CLOCK_MS)), 0);
		for (unsigned i = 0; i < 2; i++)
			cpus[i] = info_of_task(tasks[i]).cpu;
	}
	stop_all();
	CHECK(cpus[0] != cpus[1]);
	CHECK_EQUAL(finish(tasks[0]).value, 0);
	CHECK_EQUAL(finish(tasks[1]).value, 0);
}

static void preemption_keeps_all_registers(void)
{
	struct task_ref tasks[4];
	uint64_t all = cpu_online() > 1 ? 3 : 1, limit = clock_after(30 * CLOCK_S);

	for (unsigned i = 0; i < 4; i++)
		tasks[i] = start(ROLE_REGISTERS, 1 + i, i & 1 ? 1 : all);
	/* these two share CPU 0 and do not give way by themselves */
	for (unsigned i = 1; i < 4; i += 2) {
		while (info_of_task(tasks[i]).switches < 5 && clock_now_ns() < limit)
			CHECK_EQUAL(task_sleep_until(clock_after(10 * CLOCK_MS)), 0);
		CHECK(info_of_task(tasks[i]).switches >= 5);
	}
	stop_all();
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQUAL(finish(tasks[i]).value, 0);
	CHECK_EQUAL(shared()->bad, 0);
}

static void time_never_runs_backwards(void)
{
	struct task_ref tasks[2];

	tasks[0] = start(ROLE_TIME, 0, 1);
	tasks[1] = start(ROLE_TIME, 0, 2);
	CHECK_EQUAL(finish(tasks[0]).value, 0);
	CHECK_EQUAL(finish(tasks[1]).value, 0);
	CHECK_EQUAL(shared()->bad, 0);
}

static void every_task_has_a_canary_of_its_own(void)
{
	int64_t first = finish(start(ROLE_CANARY, 0, 0)).value, second;

	CHECK(shared()->counts[0] != 0);
	second = finish(start(ROLE_CANARY, 0, 0)).value;
	CHECK(first != 0);
	CHECK(first != second);
	CHECK_EQUAL(first & 0xff, 0);
}

const struct test life_tests[] = {
	{"join returns the exit value", join_returns_the_exit_value, 1},
	{"a thousand tasks leave nothing behind", a_thousand_tasks_leave_nothing_behind, 1},
	{"wrong joins are refused", wrong_joins_are_refused, 1},
	{"many slots are taken and come back", many_slots_are_taken_and_come_back, 1},
	{"kill ends waits and repeating tasks", kill_ends_waits_and_repeating_tasks, 1},
	{"sleeps end in order and not early", sleeps_end_in_order_and_not_early, 1},
	{"a wait times out or not", a_wait_times_out_or_not, 1},
	{"no wake is lost", no_wake_is_lost, 1},
	{"no wake is lost between CPUs", no_wake_is_lost_between_cpus, 2},
	{"one signal wakes the one who waited longest", one_signal_wakes_the_one_who_waited_longest,
	 1},
	{"yielding costs", yielding_costs, 1},
	{"tasks on one CPU share it", tasks_on_one_cpu_share_it, 1},
	{"an idle CPU takes work", an_idle_cpu_takes_work, 2},
	{"preemption keeps all registers", preemption_keeps_all_registers, 1},
	{"time never runs backwards", time_never_runs_backwards, 2},
	{"every task has a canary of its own", every_task_has_a_canary_of_its_own, 1},
};
const unsigned n_life_tests = ARRAY_SIZE(life_tests);
