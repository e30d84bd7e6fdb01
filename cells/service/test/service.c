/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <theseus/service.h>
#include <theseus/test.h>

CELL_INFO(.name = "service_test", .version = "1.0.0", .summary = "tests of service",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

struct service_test {
	struct task_event inside, go;
	uint32_t steps_to_stop; /* atomic: how many steps wait for `go` */
	int32_t health;
};
CELL_STATE(struct service_test, state) = {.health = 0};

static struct service_next step(void)
{
	uint64_t seen = task_event_count(&state.go);

	if (__atomic_load_n(&state.steps_to_stop, __ATOMIC_ACQUIRE) > 0) {
		__atomic_store_n(&state.steps_to_stop, 0, __ATOMIC_RELEASE);
		task_event_signal(&state.inside);
		(void)(task_event_wait(&state.go, seen, CLOCK_NEVER) < 0);
	}
	return service_wait(CLOCK_NEVER);
}

static int health(void)
{
	if (state.health == -EFAULT)
		__builtin_trap();
	return state.health;
}

/* One nanosecond has passed whenever it is asked for; an hour has not. */
CELL_PROVIDE(service_ops, service_test_hasty) = {.step = step, .step_limit_ns = 1};
CELL_PROVIDE(service_ops, service_test_patient) = {
	.step = step, .health = health, .step_limit_ns = 3600000000000};

static bool look(const char *name, struct service_info *ret_info)
{
	for (uint32_t i = 0; service_at(i, ret_info) == 0; i++) {
		if (strcmp(ret_info->name, name) == 0)
			return true;
	}
	return false;
}

/* Has @service make a step; it stops in the middle of it until let_go(). */
static int stop_in_step(struct service_ops_h service)
{
	uint64_t seen = task_event_count(&state.inside);

	__atomic_store_n(&state.steps_to_stop, 1, __ATOMIC_RELEASE);
	if (service_wake(service) < 0)
		return -ENOENT;
	return task_event_wait(&state.inside, seen, CLOCK_NEVER);
}

static void let_go(const char *name, uint64_t steps)
{
	struct service_info info;

	task_event_signal(&state.go);
	while (look(name, &info) && info.steps == steps)
		task_yield();
}

static int counts_late_steps(struct test *test)
{
	static const char hasty[] = "service_test_hasty", patient[] = "service_test_patient";
	struct service_info before, now;

	TEST_CHECK(test, look(hasty, &before));
	TEST_CHECK(test, stop_in_step(IFACE(service_ops, service_test_hasty)) == 0);
	TEST_CHECK(test, look(hasty, &now) && now.overdue && now.late >= before.late);
	let_go(hasty, now.steps);
	TEST_CHECK(test, look(hasty, &now) && !now.overdue);
	TEST_CHECK(test, now.late > before.late && now.longest_ns > 1);
	TEST_CHECK(test, stop_in_step(IFACE(service_ops, service_test_patient)) == 0);
	TEST_CHECK(test, look(patient, &now) && !now.overdue);
	let_go(patient, now.steps);
	TEST_CHECK(test, look(patient, &now) && now.late == 0 && now.longest_ns > 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, service_counts_late_steps) = {.run = counts_late_steps};

static int asks_for_health(struct test *test)
{
	static const int said[] = {0, -EIO, -EFAULT};
	struct service_info info;

	for (unsigned i = 0; i < ARRAY_SIZE(said); i++) {
		state.health = said[i];
		TEST_CHECK(test, look("service_test_patient", &info) && info.health == said[i]);
		TEST_CHECK(test, info.state == SERVICE_RUNNING); /* whatever it says of itself */
	}
	state.health = 0;
	TEST_CHECK(test, look("service_test_hasty", &info) && info.health == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, service_asks_for_health) = {.run = asks_for_health};
