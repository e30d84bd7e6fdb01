/* SPDX-License-Identifier: MIT */
/* Values of each task, restarts, detaching, affinity, and many tasks at once. */
#include <string.h>
#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/task.h>
#include <theseus/test.h>

CELL_INFO(.name = "task_test", .version = "1.0.0", .summary = "tests of tasks",
	  .safety = CELL_UNSAFE, .unsafe_reason = "faults on purpose");

struct state {
	struct task_local key;
	struct task_event go;
	uint64_t dropped, drops; /* sum and number of values */
	uint64_t runs;
};
CELL_STATE(struct state, state) = {.runs = 0};

static void begin(void)
{
	state = (struct state){.runs = 0};
}

static struct task_exit join(struct task_ref task)
{
	struct task_exit exit = {.end = 0};

	if (task_join(task, clock_after(20 * CLOCK_S), &exit) < 0)
		exit.end = 0;
	return exit;
}

/* Reads what is not mapped. */
static int64_t fault(void)
{
	const volatile uint64_t *nowhere = NULL;

	__asm__ volatile("" : "+r"(nowhere)); /* the compiler shall not know */
	return (int64_t)*nowhere;
}

/* ---- values of each task ---- */

static void drop(uint64_t value)
{
	__atomic_add_fetch(&state.dropped, value, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&state.drops, 1, __ATOMIC_SEQ_CST);
}
CELL_PROVIDE(task_local_ops, task_test) = {.drop = drop};

enum way {
	WAY_RETURN,
	WAY_EXIT,
	WAY_FAULT,
	WAY_KILL,
	WAYS,
};

/* Has a value of its own, sees nobody else's, and ends in its own way. */
static int64_t has_value(uint64_t way)
{

	if (task_local_get(state.key) != 0 || task_local_set(state.key, 100 + way) < 0 ||
	    task_local_set(state.key, 1000 + way) < 0)
		return -1;
	for (unsigned i = 0; i < 10; i++)
		task_yield();
	if (task_local_get(state.key) != 1000 + way)
		return -2;
	if (way == WAY_EXIT)
		task_exit(7);
	if (way == WAY_FAULT)
		return fault();
	if (way == WAY_KILL)
		return task_event_wait(&state.go, 0, CLOCK_NEVER);
	return 7;
}
CELL_PROVIDE(task_ops, task_test_has_value) = {.run = has_value};

static int values_are_dropped_once(struct test *test)
{
	static const enum task_end ends[WAYS] = {TASK_COMPLETED, TASK_COMPLETED, TASK_FAULTED,
						 TASK_COMPLETED};
	struct task_ref tasks[WAYS];
	struct task_info info;
	struct task_exit exit;

	begin();
	TEST_CHECK(test, task_local_create(IFACE(task_local_ops, task_test), &state.key) == 0);
	for (unsigned i = 0; i < WAYS; i++)
		TEST_CHECK(test, TASK_SPAWN(&tasks[i], IFACE(task_ops, task_test_has_value), i,
					    .name = "has value") == 0);
	while (task_describe(tasks[WAY_KILL], &info) == 0 && info.state != TASK_BLOCKED)
		task_yield();
	TEST_CHECK(test, task_kill(tasks[WAY_KILL]) == 0);
	for (unsigned i = 0; i < WAYS; i++) {
		exit = join(tasks[i]);
		TEST_CHECK(test, exit.end == ends[i] || (i == WAY_KILL && exit.end == TASK_KILLED));
		TEST_CHECK(test, i > WAY_EXIT || exit.value == 7);
	}
	TEST_CHECK(test, state.drops == WAYS && state.dropped == 4 * 1000 + 0 + 1 + 2 + 3);
	TEST_CHECK(test, task_local_destroy(state.key) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_values_are_dropped_once) = {.run = values_are_dropped_once};

static int stale_keys_are_refused(struct test *test)
{
	struct task_local keys[TASK_LOCALS_MAX], one;
	unsigned n = 0;

	TEST_CHECK(test, task_local_get((struct task_local){0, 0}) == 0);
	TEST_CHECK(test, task_local_set((struct task_local){0, 0}, 1) == -ESTALE);
	TEST_CHECK(test, task_local_set((struct task_local){99, 1}, 1) == -ESTALE);
	while (n < TASK_LOCALS_MAX &&
	       task_local_create((struct task_local_ops_h){{0, 0}}, &keys[n]) == 0)
		n++;
	TEST_CHECK(test, n > 0);
	TEST_CHECK(test, task_local_create((struct task_local_ops_h){{0, 0}}, &one) == -ENOSPC);
	TEST_CHECK(test, task_local_set(keys[0], 5) == 0 && task_local_get(keys[0]) == 5);
	TEST_CHECK(test, task_local_destroy(keys[0]) == 0);
	TEST_CHECK(test, task_local_get(keys[0]) == 0);
	TEST_CHECK(test, task_local_set(keys[0], 6) == -ESTALE);
	TEST_CHECK(test, task_local_destroy(keys[0]) == -ESTALE);
	/* the same place under a new key begins empty */
	TEST_CHECK(test, task_local_create((struct task_local_ops_h){{0, 0}}, &one) == 0);
	TEST_CHECK(test, one.index == keys[0].index && task_local_get(one) == 0);
	TEST_CHECK(test, task_local_destroy(one) == 0);
	for (unsigned i = 1; i < n; i++)
		TEST_CHECK(test, task_local_destroy(keys[i]) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_stale_keys_are_refused) = {.run = stale_keys_are_refused};

/* ---- restarts ---- */

/* Faults until it was called @enough times. */
static int64_t fails_at_first(uint64_t enough)
{
	uint64_t run = __atomic_add_fetch(&state.runs, 1, __ATOMIC_SEQ_CST);

	return run < enough ? fault() : (int64_t)run;
}
CELL_PROVIDE(task_ops, task_test_fails) = {.run = fails_at_first};

static int restarts_after_faults(struct test *test)
{
	struct task_exit exit;
	struct task_ref task;

	begin();
	TEST_CHECK(test, TASK_SPAWN(&task, IFACE(task_ops, task_test_fails), 3, .name = "restarts",
				    .restart = TASK_RESTART_ON_FAULT, .restarts = 2,
				    .backoff_ns = CLOCK_MS) == 0);
	exit = join(task);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 3);
	/* its budget spent, the next fault is its end */
	begin();
	TEST_CHECK(test, TASK_SPAWN(&task, IFACE(task_ops, task_test_fails), 9, .name = "restarts",
				    .restart = TASK_RESTART_ON_FAULT, .restarts = 2,
				    .backoff_ns = CLOCK_MS) == 0);
	TEST_CHECK(test, join(task).end == TASK_FAULTED && state.runs == 3);
	begin();
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, task_test_fails), 9, &task) == 0);
	TEST_CHECK(test, join(task).end == TASK_FAULTED && state.runs == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_restarts_after_faults) = {.run = restarts_after_faults};

static int a_wait_for_a_restart_can_be_killed(struct test *test)
{
	struct task_ref task;

	begin();
	TEST_CHECK(test,
		   TASK_SPAWN(&task, IFACE(task_ops, task_test_fails), 9, .name = "restarts",
			      .restart = TASK_RESTART_ON_FAULT, .backoff_ns = 3600 * CLOCK_S) == 0);
	while (__atomic_load_n(&state.runs, __ATOMIC_SEQ_CST) == 0)
		task_yield();
	TEST_CHECK(test, task_kill(task) == 0);
	TEST_CHECK(test, join(task).end != TASK_COMPLETED && state.runs == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_restart_wait_is_killed) = {.run = a_wait_for_a_restart_can_be_killed};

/* ---- attributes, detaching, affinity ---- */

static int64_t waits(uint64_t arg)
{
	(void)arg;
	return task_event_wait(&state.go, 0, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, task_test_waits) = {.run = waits};

static int wrong_attributes_are_refused(struct test *test)
{
	struct task_ops_h entry = IFACE(task_ops, task_test_waits);
	struct task_ref task = {0, 0};

	TEST_CHECK(test,
		   TASK_SPAWN(&task, entry, 0, .priority = SCHED_PRIORITY_MAX + 1) == -EINVAL);
	TEST_CHECK(test,
		   TASK_SPAWN(&task, entry, 0, .priority = SCHED_PRIORITY_MIN - 1) == -EINVAL);
	TEST_CHECK(test, TASK_SPAWN(&task, entry, 0, .restart = (enum task_restart)2) == -EINVAL);
	TEST_CHECK(test, TASK_SPAWN(&task, entry, 0, .affinity = 1ull << 63) == -EINVAL);
	TEST_CHECK(test, task_detach(task) == -ESTALE);
	TEST_CHECK(test, task_set_affinity(task, 1) == -ESTALE);
	TEST_CHECK(test, task_set_affinity(task_self(), 1ull << 63) == -EINVAL);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_wrong_attr_is_refused) = {.run = wrong_attributes_are_refused};

static int detached_tasks_are_reaped(struct test *test)
{
	struct task_info info;
	struct task_exit exit;
	struct task_ref task;

	begin();
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, task_test_waits), 0, &task) == 0);
	TEST_CHECK(test, task_detach(task) == 0);
	TEST_CHECK(test, task_detach(task) == -EINVAL);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &exit) == -EINVAL);
	task_event_signal(&state.go);
	while (task_describe(task, &info) == 0)
		TEST_CHECK(test, task_sleep_until(clock_after(CLOCK_MS)) == 0);
	/* one that has ended already goes at once */
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, task_test_waits), 0, &task) == 0);
	while (task_describe(task, &info) == 0 && info.state != TASK_EXITED)
		TEST_CHECK(test, task_sleep_until(clock_after(CLOCK_MS)) == 0);
	TEST_CHECK(test, task_detach(task) == 0);
	TEST_CHECK(test, task_describe(task, &info) == -ESTALE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_detached_are_reaped) = {.run = detached_tasks_are_reaped};

static int64_t return_at_once(uint64_t value)
{
	return (int64_t)value;
}
CELL_PROVIDE(task_ops, task_test_returns) = {.run = return_at_once};

#define REAPED 400u

/* An idle task that reaps is woken from it at all moments; what it had begun is done all the same. */
static int reaping_is_not_cut_short(struct test *test)
{
	const struct task_attr attr = {.detached = true, .stack_bytes = 5 * PAGE_SIZE};
	struct mapped_stats before, after;
	unsigned tasks = task_count();
	struct task_ref task;
	uint64_t limit_ns;

	task_trim();
	mapped_stats(&before);
	for (unsigned i = 0; i < REAPED; i++) {
		TEST_CHECK(test, task_spawn(&attr, IFACE(task_ops, task_test_returns), 0, &task) == 0);
		TEST_CHECK(test, task_sleep_until(clock_after(i * 200)) == 0);
	}
	limit_ns = clock_after(10 * CLOCK_S);
	do {
		TEST_CHECK(test, clock_now_ns() < limit_ns);
		TEST_CHECK(test, task_sleep_until(clock_after(CLOCK_MS)) == 0);
		task_trim();
		mapped_stats(&after);
	} while (task_count() > tasks || after.regions > before.regions);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_reaping_is_not_cut_short) = {.run = reaping_is_not_cut_short};

static int64_t joins(uint64_t id)
{
	const struct task_ref task = {(uint32_t)id, (uint32_t)(id >> 32)};
	struct task_exit exit;
	int r;

	while ((r = task_join(task, CLOCK_NEVER, &exit)) == -EBUSY)
		task_yield();
	return r;
}
CELL_PROVIDE(task_ops, task_test_joins) = {.run = joins};

static int one_task_is_joined_once(struct test *test)
{
	struct task_ref task, joiner;
	struct task_exit exit;
	int r;

	begin();
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, task_test_waits), 0, &task) == 0);
	TEST_CHECK(test,
		   task_spawn(NULL, IFACE(task_ops, task_test_joins), task_id(task), &joiner) == 0);
	while ((r = task_join(task, 0, &exit)) == -ETIMEDOUT)
		task_yield(); /* until the other one waits */
	TEST_CHECK(test, r == -EBUSY);
	TEST_CHECK(test, task_detach(task) == -EBUSY);
	task_event_signal(&state.go);
	exit = join(joiner);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &exit) == -ESTALE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_is_joined_once) = {.run = one_task_is_joined_once};

static int affinity_moves_a_running_task(struct test *test)
{
	struct task_info info;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t cpu = i % 2;

		if (task_set_affinity(task_self(), 1ull << cpu) == -EINVAL)
			TEST_SKIP(test, "one CPU");
		TEST_CHECK(test, task_describe(task_self(), &info) == 0);
		TEST_CHECK(test, info.cpu == cpu && info.affinity == 1ull << cpu);
	}
	TEST_CHECK(test, task_set_affinity(task_self(), 0) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_affinity_moves_a_task) = {.run = affinity_moves_a_running_task};

static int stacks_of_no_such_size_are_refused(struct test *test)
{
	static const size_t sizes[] = {1, PAGE_SIZE, TASK_STACK_MIN - 1, TASK_STACK_MAX + 1};
	unsigned before = task_count();
	struct task_ref task;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		TEST_CHECK(test, TASK_SPAWN(&task, IFACE(task_ops, task_test_returns), 0,
					    .stack_bytes = sizes[i]) == -EINVAL);
	TEST_CHECK(test, task_count() == before);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_stack_sizes_are_checked) = {.run = stacks_of_no_such_size_are_refused};

#define PREEMPTIONS 15u /* of all together: as long as one is missing, all contend */

/* Calls nothing meanwhile that would give way. Result: false, the others are through. */
static bool run_until_preempted(void)
{
	struct task_info info;
	uint64_t switches;
	int r = task_describe(task_self(), &info);

	for (switches = info.switches; r == 0 && info.switches == switches;) {
		if (__atomic_load_n(&state.runs, __ATOMIC_RELAXED) >= PREEMPTIONS)
			return false;
		r = task_describe(task_self(), &info);
	}
	return r == 0;
}

static int64_t be_preempted(uint64_t arg)
{
	(void)arg;
	while (run_until_preempted()) {
		__atomic_add_fetch(&state.runs, 1, __ATOMIC_RELAXED);
		task_yield();
		if (task_sleep_until(clock_now_ns()) < 0)
			return -1;
	}
	return 0;
}
CELL_PROVIDE(task_ops, task_test_preempted) = {.run = be_preempted};

static int the_smallest_stack_is_enough(struct test *test)
{
	struct task_ref tasks[3];

	begin();
	for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++)
		TEST_CHECK(test, TASK_SPAWN(&tasks[i], IFACE(task_ops, task_test_preempted), 0,
					    .affinity = 1, .stack_bytes = TASK_STACK_MIN) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++)
		TEST_CHECK(test, join(tasks[i]).end == TASK_COMPLETED);
	TEST_CHECK(test, state.runs >= PREEMPTIONS);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_smallest_stack_is_enough) = {.run = the_smallest_stack_is_enough};

/* ---- many at once ---- */

#define MANY 1000u

static int many_tasks_wait_and_are_listed(struct test *test)
{
	OWNED(heap_drop) struct task_ref *tasks = heap_alloc(CELL_SELF, MANY * sizeof(*tasks));
	unsigned before = task_count(), listed = 0;
	struct task_info info;
	uint32_t cursor = 0;

	begin();
	TEST_CHECK(test, tasks != NULL);
	for (unsigned i = 0; i < MANY; i++)
		TEST_CHECK(test, TASK_SPAWN(&tasks[i], IFACE(task_ops, task_test_waits), i,
					    .name = "one of many",
					    .stack_bytes = TASK_STACK_MIN) == 0);
	TEST_CHECK(test, task_count() >= before + MANY);
	while (task_next(&cursor, &info) == 0)
		listed += strcmp(info.name, "one of many") == 0;
	TEST_CHECK(test, listed == MANY);
	task_event_signal(&state.go);
	for (unsigned i = 0; i < MANY; i++)
		TEST_CHECK(test, join(tasks[i]).end == TASK_COMPLETED);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, task_many_wait_and_are_listed) = {.run = many_tasks_wait_and_are_listed};
