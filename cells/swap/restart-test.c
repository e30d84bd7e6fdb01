/* SPDX-License-Identifier: MIT */
/*
 * Restart with fresh state, in a world that is told what goes wrong: whatever does, nothing is
 * reset or put back but with nobody inside and the CPUs parked, and the callers go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <theseus/command.h>
#include <theseus/log.h>
#include <theseus/switch.h>
#include <theseus/upcall.h>

#include "internal.h"

#define TEXT 0x600000010000ull
#define ALWAYS INT32_MAX
#define FAULT 77

/* ---- the world ---- */

static struct world {
	uint64_t now;
	int create, hold, init; /* results; init FAULT: it faults */
	int park_fails, inside; /* how often: ALWAYS */
	int inside_after_init;
	bool killed;            /* waits say so */
	bool no_memory;
	/* what happened */
	bool created, held, parked, fresh;
	unsigned resets, undos, inits, drops, breaks, signals, waits, yields, faults;
	int64_t (*function)(void); /* what callers run meanwhile */
	char text[256];            /* of the command */
} w;

static struct swap_cell_state state;
const struct iface_slot __slot_cell_self;
struct iface_slot fake_slots[4];

static void start(void)
{
	w = (struct world){.now = 1000};
	memset(&state, 0, sizeof(state));
}

static bool happens(int *times)
{
	if (*times == 0)
		return false;
	*times -= *times != ALWAYS;
	return true;
}

struct swap_cell_state *swap_cell(void)
{
	return &state;
}

struct loader_location swap_place_of(uint64_t addr)
{
	return (struct loader_location){"cell", "function", addr - TEXT};
}

void swap_set_reason(struct loader_report *report, const char *code, const char *fmt, ...)
{
	va_list args;

	memset(report, 0, sizeof(*report));
	strcpy(report->code, code);
	va_start(args, fmt);
	vsnprintf(report->reasons[0], sizeof(report->reasons[0]), fmt, args);
	va_end(args);
	report->n_reasons = 1;
}

uint64_t clock_now_ns(void)
{
	return w.now += 100;
}

uint64_t clock_after(uint64_t ns)
{
	return clock_now_ns() + ns;
}

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	(void)owner;
	return w.no_memory ? NULL : malloc(bytes);
}

void heap_free(void *p)
{
	free(p);
}

/* ---- loader ---- */

static struct loader_restart *const the_restart = (struct loader_restart *)(void *)&w;

int loader_restart_create(const char *name, uint64_t hold, struct loader_restart **ret_restart,
			  struct loader_report *ret_report)
{
	assert_string_equal(name, "cell");
	memset(ret_report, 0, sizeof(*ret_report));
	if (w.create < 0) {
		strcpy(ret_report->reasons[0], "because");
		ret_report->n_reasons = 1;
		return w.create;
	}
	w.created = true;
	w.function = (int64_t (*)(void))(uintptr_t)hold;
	*ret_restart = the_restart;
	return 0;
}

void loader_restart_drop(struct loader_restart *restart)
{
	assert_ptr_equal(restart, the_restart);
	assert_false(w.parked);
	assert_int_equal(w.signals, 0); /* first they are let go, then told */
	w.created = w.held = false;
	w.drops++;
}

int loader_restart_hold(struct loader_restart *restart)
{
	assert_ptr_equal(restart, the_restart);
	assert_int_equal(state.holding, 1);
	w.held = w.hold == 0;
	return w.hold;
}

void loader_restart_range(const struct loader_restart *restart, uint64_t *ret_start,
			  uint64_t *ret_end)
{
	assert_ptr_equal(restart, the_restart);
	*ret_start = TEXT;
	*ret_end = TEXT + 0x1000;
}

void loader_restart_reset(struct loader_restart *restart)
{
	assert_ptr_equal(restart, the_restart);
	assert_true(w.parked && w.held && !w.fresh);
	w.fresh = true;
	w.resets++;
}

void loader_restart_undo(struct loader_restart *restart)
{
	assert_ptr_equal(restart, the_restart);
	assert_true(w.parked && w.held && w.fresh);
	w.fresh = false;
	w.undos++;
}

int loader_restart_init(struct loader_restart *restart)
{
	assert_ptr_equal(restart, the_restart);
	assert_true(!w.parked && w.held && w.fresh);
	w.inits++;
	w.inside = w.inside_after_init;
	return w.init;
}

/* ---- tasks and CPUs ---- */

int cpu_park_others(uint64_t limit_ns, unsigned *ret_cpu)
{
	assert_false(w.parked);
	if (happens(&w.park_fails)) {
		w.now += limit_ns;
		*ret_cpu = 3;
		return -ETIMEDOUT;
	}
	w.parked = true;
	return 0;
}

void cpu_release_others(void)
{
	assert_true(w.parked);
	w.parked = false;
}

int task_scan(const struct task_range *ranges, unsigned n, struct task_hit *ret_hit)
{
	assert_true(w.parked && n == 1);
	assert_true(ranges->start == TEXT && ranges->end == TEXT + 0x1000);
	if (!happens(&w.inside))
		return 0;
	*ret_hit = (struct task_hit){.task = {5, 1}, .name = "visitor", .word = TEXT + 0x21};
	return 1;
}

unsigned task_restart_waits(const struct task_range *ranges, unsigned n)
{
	(void)ranges;
	(void)n;
	assert_false(w.parked);
	w.breaks++;
	return 1;
}

int task_sleep_until(uint64_t deadline_ns)
{
	assert_false(w.parked);
	if (w.killed)
		return -ECANCELED;
	w.now = deadline_ns > w.now ? deadline_ns : w.now;
	return 0;
}

void task_yield(void)
{
	assert_false(w.parked);
	w.yields++;
}

int task_event_wait(struct task_event *event, uint64_t seen, uint64_t deadline_ns)
{
	assert_ptr_equal(event, &state.released);
	assert_int_equal(seen, event->count);
	assert_true(deadline_ns == CLOCK_NEVER);
	w.waits++;
	return w.killed ? -ECANCELED : 0;
}

void task_event_signal(struct task_event *event)
{
	assert_ptr_equal(event, &state.released);
	assert_int_equal(state.holding, 0);
	w.signals++;
}

int switch_protect(int64_t (*fn)(void *arg), void *arg, int64_t *ret_value)
{
	*ret_value = fn(arg);
	return *ret_value == FAULT ? -EFAULT : 0;
}

void upcall_fault_report(uint64_t id)
{
	assert_int_equal(id, FAULT);
	w.faults++;
}

void log_write(enum log_level level, struct cell_ref cell, const char *fmt, ...)
{
	(void)level;
	(void)cell;
	(void)fmt;
}

void command_printf(struct command_io *io, const char *fmt, ...)
{
	va_list args;

	(void)io;
	va_start(args, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, args);
	va_end(args);
}

/* ---- helpers ---- */

static struct loader_report report;

/* Whatever came of it: the callers were held, and go on. */
static int restart(uint64_t timeout_ns)
{
	int r = swap_restart("cell", timeout_ns, &report);

	assert_false(w.created || w.held || w.parked);
	assert_int_equal(state.holding, 0);
	assert_int_equal(w.drops, 1);
	assert_int_equal(w.signals, 1);
	assert_int_equal(w.resets, w.fresh + w.undos);
	return r;
}

static void expect_reason(const char *code, const char *text)
{
	assert_string_equal(report.code, code);
	if (!strstr(report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", report.reasons[0], text);
}

/* ---- tests ---- */

static void test_good(void **unused)
{
	(void)unused;
	start();
	assert_int_equal(restart(0), 0);
	assert_true(w.fresh);
	assert_int_equal(w.inits, 1);
	assert_int_equal(w.breaks, 0);

	/* CPUs and a visitor that take their time */
	start();
	w.park_fails = 2;
	w.inside = 3;
	w.init = 1; /* as good as 0 */
	assert_int_equal(restart(0), 0);
	assert_true(w.fresh);
	assert_int_equal(w.breaks, 3);
}

static void test_refused(void **unused)
{
	(void)unused;
	start();
	w.create = -EPERM;
	assert_int_equal(swap_restart("cell", 0, &report), -EPERM);
	assert_string_equal(report.reasons[0], "because");
	assert_int_equal(state.holding, 0);
	assert_int_equal(w.drops + w.signals + w.resets, 0);

	start();
	w.hold = -EPERM;
	assert_int_equal(restart(0), -EPERM);
	expect_reason("gate", "refuses a patch");
	assert_int_equal(w.resets, 0);
}

static void test_timeout(void **unused)
{
	uint64_t before;

	(void)unused;
	start();
	w.inside = ALWAYS;
	before = w.now;
	assert_int_equal(restart(50 * CLOCK_MS), -ETIMEDOUT);
	expect_reason("timed-out", "task visitor (4294967301) is inside cell: function+0x21");
	assert_true(w.now - before >= 50 * CLOCK_MS && w.now - before < 60 * CLOCK_MS);
	assert_int_equal(w.resets, 0);

	start();
	w.park_fails = ALWAYS;
	assert_int_equal(restart(0), -ETIMEDOUT);
	expect_reason("timed-out", "CPU 3 did not come");
	assert_int_equal(w.resets, 0);
}

static void test_killed(void **unused)
{
	(void)unused;
	start();
	w.inside = ALWAYS;
	w.killed = true;
	assert_int_equal(restart(0), -ECANCELED);
	assert_int_equal(w.resets, 0);
}

static void test_init_fails(void **unused)
{
	(void)unused;
	start();
	w.init = -ENOMEM;
	assert_int_equal(restart(0), -ENOMEM);
	expect_reason("init-failed", "cell: init failed: error -12; its state is as it was");
	assert_int_equal(w.undos, 1);
	assert_int_equal(w.faults, 0);

	start();
	w.init = FAULT;
	assert_int_equal(restart(0), -EFAULT);
	assert_int_equal(w.undos, 1);
	assert_int_equal(w.faults, 1);
}

/* The way back is gone to its end: whoever is inside, and though the task was killed. */
static void test_killed_on_the_way_back(void **unused)
{
	(void)unused;
	start();
	w.init = -EIO;
	w.inside_after_init = 40;
	w.killed = true;
	assert_int_equal(restart(CLOCK_MS), -EIO);
	assert_int_equal(w.undos, 1);
	assert_int_equal(w.yields, 40);
	expect_reason("init-failed", "its state is as it was");
}

/* What a caller runs instead: waits while it has to, and always has its stub call again. */
static void test_callers(void **unused)
{
	(void)unused;
	start();
	assert_int_equal(restart(0), 0);
	assert_int_equal(w.function(), -ERESTART_CELL);
	assert_int_equal(w.waits, 0);
	state.holding = 1;
	assert_int_equal(w.function(), -ERESTART_CELL);
	assert_int_equal(w.waits, 1);
	w.killed = true;
	assert_int_equal(w.function(), -ECANCELED);
}

extern const struct command_ops __provide_command_ops__restart;

static void test_command(void **unused)
{
	const char *words[] = {"restart", "cell", NULL};
	struct command_io io = {.used = 0};

	(void)unused;
	start();
	assert_int_equal(__provide_command_ops__restart.run(&io, 1, words), 2);
	assert_non_null(strstr(w.text, "usage"));
	assert_int_equal(__provide_command_ops__restart.run(&io, 2, words), 0);
	start();
	w.create = -EBUSY;
	assert_int_equal(__provide_command_ops__restart.run(&io, 2, words), 1);
	assert_string_equal(w.text, "restart: because\n");
	w.no_memory = true;
	assert_int_equal(__provide_command_ops__restart.run(&io, 2, words), 1);
	assert_string_equal(w.text, "restart: out of memory\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_init_fails),
		cmocka_unit_test(test_killed_on_the_way_back),
		cmocka_unit_test(test_callers),
		cmocka_unit_test(test_command),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
