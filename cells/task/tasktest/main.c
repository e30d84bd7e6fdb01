/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <theseus/gate-call.h>
#include <theseus/platform.h>

#include "tasktest.h"

CELL_INFO(.name = "tasktest", .version = "1.0.0", .summary = "tests tasks from within",
	  .safety = CELL_UNSAFE, .unsafe_reason = "faults on purpose, in every way",
	  .grants = GATE_GRANT_PORT | GATE_GRANT_POWER | GATE_GRANT_SCHED);

CELL_STATE(struct shared, tasktest) = {.stop = 0};

struct shared *shared(void)
{
	return &tasktest;
}

void shared_reset(void)
{
	uint32_t failed = tasktest.failed_checks;

	memset(&tasktest, 0, sizeof(tasktest));
	tasktest.failed_checks = failed;
}

void say(const char *fmt, ...)
{
	struct gate_port ports[GATE_PORTS_MAX];
	char text[GATE_PORTS_MAX];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n > (int)sizeof(text) - 1)
		n = (int)sizeof(text) - 1;
	text[n++] = '\n';
	for (int i = 0; i < n; i++)
		ports[i] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1, (uint8_t)text[i]};
	gate_port(ports, (unsigned)n);
}

void fail_at(const char *what, unsigned line)
{
	__atomic_add_fetch(&tasktest.failed_checks, 1, __ATOMIC_RELAXED);
	say("# line %u:", line);
	say("#   %s", what);
}

void check_equal_at(int64_t got, int64_t want, const char *what, unsigned line)
{
	if (got == want)
		return;
	fail_at(what, line);
	say("#   is %lld, not %lld", (long long)got, (long long)want);
}

struct task_ref start(enum role role, uint64_t n, uint64_t affinity);
static int64_t run_role(uint64_t arg);
CELL_PROVIDE(task_ops, tasktest) = {.run = run_role};

struct task_ref start(enum role role, uint64_t n, uint64_t affinity)
{
	struct task_attr attr = {.name = "role", .affinity = affinity};
	struct task_ref task = {0, 0};
	int r = task_spawn(&attr, IFACE(task_ops, tasktest), ROLE_ARG(role, n), &task);

	if (r < 0)
		upcall_crash("a test task cannot be spawned");
	return task;
}

struct task_exit finish(struct task_ref task)
{
	struct task_exit exit = {.end = TASK_KILLED, .value = -1};

	CHECK_EQUAL(task_join(task, clock_after(10 * CLOCK_S), &exit), 0);
	return exit;
}

void stop_all(void)
{
	__atomic_store_n(&tasktest.stop, 1, __ATOMIC_SEQ_CST);
}

struct task_info info_of_task(struct task_ref task)
{
	struct task_info info;

	if (task_describe(task, &info) == 0)
		return info;
	fail_at("task is not listed", __LINE__);
	return (struct task_info){.running = false};
}

bool reaches(const uint64_t *word, uint64_t least)
{
	uint64_t deadline = clock_after(10 * CLOCK_S);

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < least) {
		if (clock_now_ns() > deadline)
			return false;
		task_yield();
	}
	return true;
}

static bool stopping(void)
{
	return __atomic_load_n(&tasktest.stop, __ATOMIC_ACQUIRE);
}

static int64_t ping(struct task_event *mine, struct task_event *other, uint64_t n, bool first)
{
	for (uint64_t i = 0; i < n; i++) {
		if (first)
			task_event_signal(other);
		if (task_event_wait(mine, i, clock_after(10 * CLOCK_S)) < 0)
			return -(int64_t)i - 1;
		if (!first)
			task_event_signal(other);
	}
	return (int64_t)n;
}

static int64_t masked(void)
{
	upcall_mask();
	__atomic_store_n(&tasktest.started, 1, __ATOMIC_RELEASE);
	while (!stopping())
		__builtin_ia32_pause();
	upcall_unmask();
	return 0;
}

/* Every reading is at or after the newest that any task took before it. */
static int64_t monotonic(void)
{
	uint64_t before, now;

	for (unsigned i = 0; i < 200000; i++) {
		before = __atomic_load_n(&tasktest.newest_ns, __ATOMIC_SEQ_CST);
		now = clock_now_ns();
		if (now < before)
			__atomic_add_fetch(&tasktest.bad, 1, __ATOMIC_RELAXED);
		while (before < now &&
		       !__atomic_compare_exchange_n(&tasktest.newest_ns, &before, now, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
	return 0;
}

static int64_t canary(void)
{
	uint64_t self, value;

	__asm__ volatile("mov %%fs:0, %0; mov %%fs:0x28, %1" : "=r"(self), "=r"(value));
	__atomic_store_n(&tasktest.counts[0], self, __ATOMIC_RELAXED);
	return (int64_t)value;
}

static int64_t run_role(uint64_t arg)
{
	uint64_t n = arg >> 8, index = n % ROLES_AT_ONCE;

	switch ((enum role)(arg & 0xff)) {
	case ROLE_RETURN:
		return (int64_t)n;
	case ROLE_AGAIN:
		return ++tasktest.counts[index] < 1000 ? TASK_AGAIN : 1000;
	case ROLE_FOREVER:
		__atomic_add_fetch(&tasktest.counts[index], 1, __ATOMIC_RELAXED);
		task_yield();
		return TASK_AGAIN;
	case ROLE_EXIT:
		task_exit((int64_t)n);
	case ROLE_WAIT:
		return task_event_wait(&tasktest.event, n, CLOCK_NEVER);
	case ROLE_WAIT_LONG:
		return task_event_wait(&tasktest.event, n, clock_after(3600 * CLOCK_S));
	case ROLE_SLEEP:
		return task_sleep_until(clock_after(n * CLOCK_MS));
	case ROLE_PING:
		return ping(&tasktest.event, &tasktest.reply, n, true);
	case ROLE_PONG:
		return ping(&tasktest.reply, &tasktest.event, n, false);
	case ROLE_SPIN:
		while (!stopping())
			tasktest.counts[index]++;
		return 0;
	case ROLE_REGISTERS:
		while (!stopping()) {
			if (registers_role(n) != 0)
				__atomic_add_fetch(&tasktest.bad, 1, __ATOMIC_RELAXED);
			tasktest.counts[index]++;
		}
		return 0;
	case ROLE_MASKED:
		return masked();
	case ROLE_TIME:
		return monotonic();
	case ROLE_CANARY:
		return canary();
	default:
		faulty((enum role)(arg & 0xff));
		return 0;
	}
}

static void run_one(unsigned number, const struct test *test)
{
	uint32_t failed = tasktest.failed_checks;

	if (cpu_online() < test->cpus) {
		say("ok %u - %s # SKIP one CPU", number, test->name);
		return;
	}
	shared_reset();
	test->run();
	say("%s %u - %s", tasktest.failed_checks == failed ? "ok" : "not ok", number, test->name);
}

static bool asked_for(const char *option)
{
	const struct boot_record *record = (const struct boot_record *)(uintptr_t)GATE_BOOT_RECORD;

	return strstr(record->cmdline, option);
}

/* What ends the VM is a test of its own, asked for on the command line. */
static void crash_tests(void)
{
	if (asked_for("tasktest=handler")) {
		percpu_write(task, (struct task_head *)16);
		faulty(ROLE_NULL);
	} else if (asked_for("tasktest=landing")) {
		percpu_write(landing, NULL);
		faulty(ROLE_NULL);
	}
}

/*
 * The boot goes on beside the first service until all others wait: what tasks that end give back
 * is not a test's.
 */
static bool is_booting(void)
{
	uint64_t self = task_id(task_self());
	struct task_info task;
	uint32_t cursor = 0;

	while (task_next(&cursor, &task) == 0) {
		if (task.state != TASK_BLOCKED && task_id(task.task) != self)
			return true;
	}
	return false;
}

static struct service_next step(void)
{
	const struct {
		const struct test *tests;
		unsigned n;
	} groups[] = {{life_tests, n_life_tests},
		      {fault_tests, n_fault_tests},
		      {irq_tests, n_irq_tests},
		      {service_tests, n_service_tests}};
	unsigned number = 0;

	crash_tests();
	if (is_booting())
		return service_wait(clock_after(CLOCK_MS));
	for (unsigned g = 0; g < ARRAY_SIZE(groups); g++) {
		for (unsigned i = 0; i < groups[g].n; i++)
			run_one(++number, &groups[g].tests[i]);
	}
	say("1..%u", number);
	gate_power(tasktest.failed_checks ? PLATFORM_EXIT_TEST_FAIL : PLATFORM_EXIT_TEST_OK);
}
/* On CPU 0, so that a test can do things to CPU 1. */
CELL_PROVIDE(service_ops, tasktest) = {.step = step, .cpu = SERVICE_BOOT_CPU};
