/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "tasktest.h"

/* Services under test: none does anything before the test asks for it. */
static struct service_next crashing_step(void)
{
	if (__atomic_load_n(&shared()->started, __ATOMIC_ACQUIRE))
		faulty(ROLE_NULL);
	return service_wait(CLOCK_NEVER);
}
CELL_PROVIDE(service_ops, tasktest_crashing) = {.step = crashing_step};

static struct service_next counting_step(void)
{
	const struct service_self self = service_self();

	if (self.instance < 2)
		__atomic_add_fetch(&shared()->counts[self.instance], 1, __ATOMIC_RELAXED);
	return service_wait(CLOCK_NEVER);
}
static void counting_fini(void)
{
	__atomic_add_fetch(&shared()->stopped_service_fini, 1, __ATOMIC_RELAXED);
}
CELL_PROVIDE(service_ops, tasktest_counting) = {
	.step = counting_step, .fini = counting_fini, .cpu = SERVICE_EACH_CPU};

static int refusing_init(void)
{
	return -EIO;
}
CELL_PROVIDE(service_ops, tasktest_refusing) = {.init = refusing_init, .step = counting_step};

static struct service_info info_of(const char *name)
{
	struct service_info info;

	for (uint32_t i = 0; service_at(i, &info) == 0; i++) {
		if (strcmp(info.name, name) == 0)
			return info;
	}
	fail_at(name, 0);
	return (struct service_info){.error = 0};
}

static void every_cpu_has_a_runner(void)
{
	CHECK_EQUAL(info_of("tasktest_counting").runners, cpu_online());
	CHECK_EQUAL(service_wake(IFACE(service_ops, tasktest_counting)), 0);
	for (unsigned i = 0; i < cpu_online() && i < 2; i++)
		CHECK(reaches(&shared()->counts[i], 1));
	CHECK_EQUAL(service_wake((struct service_ops_h){{7, 999}}), -ENOENT);
	CHECK_EQUAL(service_self().instance, 0);
	CHECK(service_self().service.h.generation != 0);
}

static void wakes_are_not_lost(void)
{
	uint64_t *count = &shared()->counts[0];

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t before = __atomic_load_n(count, __ATOMIC_ACQUIRE);

		CHECK_EQUAL(service_wake(IFACE(service_ops, tasktest_counting)), 0);
		if (!reaches(count, before + 1)) {
			CHECK(!"woken service did not step");
			return;
		}
	}
}

static void a_faulting_service_fails_alone(void)
{
	struct service_info info = info_of("tasktest_crashing");
	unsigned failed = service_failed();

	CHECK_EQUAL(info_of("tasktest_refusing").state, SERVICE_FAILED);
	CHECK_EQUAL(info_of("tasktest_refusing").error, -EIO);
	CHECK_EQUAL(info.state, SERVICE_RUNNING);
	__atomic_store_n(&shared()->started, 1, __ATOMIC_RELEASE);
	CHECK_EQUAL(service_wake(IFACE(service_ops, tasktest_crashing)), 0);
	for (uint64_t end = clock_after(5 * CLOCK_S); clock_now_ns() < end; task_yield()) {
		info = info_of("tasktest_crashing");
		if (info.state == SERVICE_FAILED && info.runners == 0)
			break;
	}
	CHECK_EQUAL(info.state, SERVICE_FAILED);
	CHECK_EQUAL(info.error, -EFAULT);
	CHECK(info.fault != 0);
	CHECK_EQUAL(service_failed(), failed + 1);
	CHECK_EQUAL(service_wake(IFACE(service_ops, tasktest_counting)), 0);
	CHECK(reaches(&shared()->counts[0], 1));
}

static void a_stopped_service_is_finished_once(void)
{
	const struct service_ops_h counting = IFACE(service_ops, tasktest_counting);

	CHECK_EQUAL(service_stop(counting, clock_after(5 * CLOCK_S)), 0);
	CHECK_EQUAL(shared()->stopped_service_fini, 1);
	CHECK_EQUAL(info_of("tasktest_counting").state, SERVICE_STOPPED);
	CHECK_EQUAL(info_of("tasktest_counting").runners, 0);
	/* neither what stopped nor what failed is started again */
	CHECK_EQUAL(service_start_all(), 0);
	CHECK_EQUAL(info_of("tasktest_counting").state, SERVICE_STOPPED);
	CHECK_EQUAL(service_stop((struct service_ops_h){{7, 999}}, CLOCK_NEVER), -ENOENT);
}

const struct test service_tests[] = {
	{"every CPU has a runner", every_cpu_has_a_runner, 1},
	{"wakes are not lost", wakes_are_not_lost, 1},
	{"a faulting service fails alone", a_faulting_service_fails_alone, 1},
	{"a stopped service is finished once", a_stopped_service_is_finished_once, 1},
};
const unsigned n_service_tests = ARRAY_SIZE(service_tests);
