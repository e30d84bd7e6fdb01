/* SPDX-License-Identifier: MIT */
/*
 * The transaction, step by step, in a world that is told what goes wrong: each failure ends
 * in the state that its undo promises, and nothing is done outside the rules (a commit or a
 * scan only while the CPUs are parked, no return to the runner's loop while they are).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <theseus/log.h>
#include <theseus/upcall.h>

#include "internal.h"

#define OLD_TEXT 0x600000010000ull
#define NEW_TEXT 0x600000020000ull
#define OBJECTS_MAX 4u
#define ALWAYS INT32_MAX

/* ---- the world ---- */

static struct world {
	uint64_t now, generation;
	uint8_t quiescence;
	bool no_old_code, no_object;
	int create, check, commit, init; /* results */
	int park_fails, busy, held;      /* how often: ALWAYS */
	int park_fails_after_init;
	/* what happened */
	bool parked, staged, committed, taken_back, quarantined, needed;
	bool too_many;                   /* changes */
	unsigned commits, inits, reverts, finalised, drops, restarts, starts, wakes, told, parks;
	struct {
		void *p;
		uint64_t generation;
	} objects[OBJECTS_MAX];
	uint64_t objects_made;
} w;

struct iface_slot fake_slots[4];
const struct iface_slot __slot_cell_self;
const struct iface_slot __slot_service_ops__swap;

static void told(void)
{
	w.told++;
}
static const struct swap_watch_ops watch_ops = {told};
static const struct swap_watch_ops_h watcher = {{1, 7}}, nobody;

extern const struct cell_ops __provide_cell_ops__swap;

static void start(void)
{
	for (unsigned i = 0; i < OBJECTS_MAX; i++)
		free(w.objects[i].p);
	w = (struct world){.now = 1000};
	memset(swap_cell(), 0, sizeof(*swap_cell()));
	fake_slots[1] = (struct iface_slot){&watch_ops, 7, 1};
	assert_int_equal(__provide_cell_ops__swap.init(NULL), 0);
}

static bool happens(int *times)
{
	if (*times == 0)
		return false;
	*times -= *times != ALWAYS;
	return true;
}

uint64_t clock_now_ns(void)
{
	return w.now += 100;
}

uint64_t clock_after(uint64_t ns)
{
	return clock_now_ns() + ns;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src), copy = n < size ? n : size - 1;

	memcpy(dst, src, copy);
	dst[copy] = '\0';
	return n;
}

int heap_type_create(struct cell_ref server, const char *name, size_t bytes,
		     struct object_ops_h ops, struct heap_type *ret_type)
{
	(void)server;
	(void)name;
	(void)ops;
	assert_int_equal(bytes, sizeof(struct swap_transaction));
	ret_type->id = 1;
	return 0;
}

int object_create(struct heap_type type, struct object_owner owner, struct handle *ret_handle)
{
	(void)owner;
	if (w.no_object)
		return -ENOMEM;
	for (uint32_t i = 0; i < OBJECTS_MAX; i++) {
		if (w.objects[i].p)
			continue;
		w.objects[i].p = calloc(1, sizeof(struct swap_transaction));
		w.objects[i].generation = ++w.objects_made;
		*ret_handle = (struct handle){type.id, i, w.objects_made};
		return 0;
	}
	fail_msg("transactions pile up");
	return -ENOMEM;
}

void *object_get(struct heap_type type, struct handle h)
{
	if (h.type != type.id || w.objects[h.slot].generation != h.generation)
		return NULL;
	return w.objects[h.slot].p;
}

int object_destroy(struct heap_type type, struct handle h)
{
	assert_non_null(object_get(type, h));
	free(w.objects[h.slot].p);
	w.objects[h.slot].p = NULL;
	return 0;
}

/* ---- loader ---- */

static struct loader_stage *const the_stage = (struct loader_stage *)(void *)&w;

int loader_stage_create(const void *bundle, size_t size, struct loader_stage **ret_stage,
			struct loader_report *ret_report)
{
	(void)bundle;
	(void)size;
	memset(ret_report, 0, sizeof(*ret_report));
	if (w.create < 0)
		return w.create;
	assert_false(w.staged);
	w.staged = true;
	*ret_stage = the_stage;
	return 0;
}

void loader_stage_drop(struct loader_stage *stage)
{
	assert_ptr_equal(stage, the_stage);
	assert_true(w.staged && !w.committed && !w.taken_back && !w.parked);
	w.staged = false;
	w.drops++;
}

int loader_stage_change(const struct loader_stage *stage, uint32_t index,
			struct loader_change *ret_change)
{
	(void)stage;
	if (index > (w.too_many ? SWAP_CHANGES_MAX : 0))
		return -ENOENT;
	*ret_change = (struct loader_change){
		.name = "old", .old_version = "1", .new_version = "2", .quiescence = w.quiescence};
	return 0;
}

int loader_stage_old_range(const struct loader_stage *stage, uint32_t index, uint64_t *ret_start,
			   uint64_t *ret_end)
{
	(void)stage;
	if (index > 1 || w.no_old_code)
		return -ENOENT;
	*ret_start = (w.taken_back ? NEW_TEXT : OLD_TEXT) + index * 0x1000ull;
	*ret_end = *ret_start + 0x1000;
	return 0;
}

int loader_stage_check(struct loader_stage *stage, struct loader_report *ret_report)
{
	(void)stage;
	memset(ret_report, 0, sizeof(*ret_report));
	strcpy(ret_report->reasons[0], "because");
	ret_report->n_reasons = w.check < 0;
	return w.check;
}

int loader_stage_commit(struct loader_stage *stage)
{
	(void)stage;
	assert_true(w.parked && w.staged && !w.committed);
	w.commits++;
	if (w.commit < 0)
		return w.commit;
	w.committed = true;
	w.generation++;
	return 0;
}

int loader_stage_revert(struct loader_stage *stage)
{
	(void)stage;
	assert_true(w.parked && w.committed);
	w.committed = false;
	w.taken_back = true;
	w.generation--;
	w.reverts++;
	return 0;
}

int loader_stage_init(struct loader_stage *stage)
{
	(void)stage;
	assert_true(w.committed && !w.parked);
	w.inits++;
	w.park_fails = w.park_fails_after_init;
	return w.init;
}

uint64_t loader_stage_finalise(struct loader_stage *stage)
{
	(void)stage;
	assert_true((w.committed || w.taken_back || w.quarantined) && !w.parked);
	w.staged = w.committed = w.taken_back = w.quarantined = false;
	w.finalised++;
	return 8192;
}

void loader_stage_quarantine(struct loader_stage *stage)
{
	(void)stage;
	assert_true((w.committed || w.taken_back) && !w.parked);
	w.staged = w.committed = false;
	w.quarantined = true;
}

bool loader_stage_needed(const struct loader_stage *stage)
{
	(void)stage;
	return w.needed;
}

struct loader_stage *loader_quarantined_stage(uint32_t index)
{
	return index == 0 && w.quarantined ? the_stage : NULL;
}

int loader_quarantined_at(uint32_t index, struct loader_cell *ret_cell)
{
	memset(ret_cell, 0, sizeof(*ret_cell));
	return index == 0 && w.quarantined ? 0 : -ENOENT;
}

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	(void)owner;
	return malloc(bytes);
}

void heap_free(void *p)
{
	free(p);
}

uint64_t loader_generation(void)
{
	return w.generation;
}

int loader_locate(uint64_t addr, struct loader_location *ret_location)
{
	if (addr < OLD_TEXT || addr >= OLD_TEXT + 0x1000)
		return -ENOENT;
	*ret_location = (struct loader_location){"old", "old_fn", addr - OLD_TEXT};
	return 0;
}

/* ---- tasks and CPUs ---- */

int cpu_park_others(uint64_t limit_ns, unsigned *ret_cpu)
{
	assert_false(w.parked);
	w.parks++;
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

void cpu_park_times(struct cpu_park_times *ret_times)
{
	*ret_times = (struct cpu_park_times){w.now - 30, w.now - 20, w.now};
}

/* The commit is done, or taken back: what is scanned for is no longer to be entered. */
static bool is_left(void)
{
	return w.committed || w.taken_back || w.quarantined;
}

int task_scan(const struct task_range *ranges, unsigned n, struct task_hit *ret_hit)
{
	assert_true(w.parked);
	assert_true(n == (is_left() ? 2 : 1));
	assert_int_equal(ranges[0].start, w.taken_back ? NEW_TEXT : OLD_TEXT);
	if (!happens(is_left() ? &w.held : &w.busy))
		return 0;
	*ret_hit = (struct task_hit){.task = {5, 1}, .name = "sleeper", .word = OLD_TEXT + 0x21};
	return 1;
}

unsigned task_restart_waits(const struct task_range *ranges, unsigned n)
{
	(void)ranges;
	(void)n;
	assert_true(is_left() && !w.parked);
	w.restarts++;
	return 1;
}

int service_start_all(void)
{
	w.starts++;
	return 0;
}

int service_wake(struct service_ops_h service)
{
	(void)service;
	w.wakes++;
	return 0;
}

void log_write(enum log_level level, struct cell_ref cell, const char *fmt, ...)
{
	(void)level;
	(void)cell;
	(void)fmt;
}

void upcall_crash(const char *text)
{
	fail_msg("crash: %s", text);
	abort();
}

/* ---- helpers ---- */

static uint64_t stage(void)
{
	struct loader_report report;
	uint64_t id = 0;

	assert_int_equal(swap_stage("x", 1, &id, &report), 0);
	assert_int_not_equal(id, 0);
	return id;
}

/* The runner's loop; time passes as it is asked to. */
static void run(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct service_next next = swap_step();

		assert_false(w.parked);
		if (next.then == SERVICE_AGAIN)
			continue;
		assert_int_equal(next.then, SERVICE_WAIT);
		if (next.deadline_ns == CLOCK_NEVER)
			return;
		if (next.deadline_ns > w.now)
			w.now = next.deadline_ns;
	}
	fail_msg("it does not come to an end");
}

static struct swap_result run_with(struct swap_options options)
{
	struct swap_result r;
	uint64_t id = stage();

	assert_int_equal(swap_start(id, &options, watcher), 0);
	assert_int_equal(w.wakes, 1);
	run();
	assert_int_equal(w.told, 1);
	assert_int_equal(swap_result(id, &r), 0);
	assert_false(r.running);
	return r;
}

static void expect_reason(const struct swap_result *r, const char *code, const char *text)
{
	struct loader_report report;

	assert_int_equal(swap_report(r->id, &report), 0);
	if (code)
		assert_string_equal(report.code, code);
	if (!strstr(report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", report.reasons[0], text);
}

/* Over, nothing changed, nothing left. */
static void expect_undone(const struct swap_result *r, enum swap_state state, int error)
{
	assert_int_equal(r->state, state);
	assert_int_equal(r->error, error);
	assert_int_equal(r->generation, 0);
	assert_true(swap_is_over(r->state));
	assert_int_equal(w.drops, 1);
	assert_int_equal(w.finalised, 0);
	assert_false(w.staged);
}

static const struct swap_options plain;

/* ---- tests ---- */

static void test_good(void **state)
{
	struct loader_change c;
	struct swap_result r;

	(void)state;
	start();
	r = run_with(plain);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.generation, 1);
	assert_int_equal(r.bytes_freed, 8192);
	assert_int_equal(r.bytes_quarantined, 0);
	assert_int_equal(r.pause_ns, 30);
	assert_int_equal(r.tries, 1);
	assert_int_equal(r.n_changes, 1);
	assert_true(r.stage_ns > 0 && r.total_ns > r.stage_ns);
	assert_string_equal(swap_result_word(&r), "committed");
	assert_int_equal(swap_change_at(r.id, 0, &c), 0);
	assert_string_equal(c.new_version, "2");
	assert_int_equal(swap_change_at(r.id, 1, &c), -ENOENT);
	assert_int_equal(w.starts, 1);
	assert_int_equal(w.restarts, 0);
	assert_int_equal(w.drops, 0);
	run(); /* nothing more to do */
	assert_int_equal(w.parks, 2);
}

static void test_nothing_old(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.no_old_code = true;
	r = run_with(plain);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(w.parks, 1);
}

static void test_dry_run(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	r = run_with((struct swap_options){.dry_run = true});
	assert_int_equal(r.state, SWAP_STAGED);
	assert_int_equal(r.error, 0);
	assert_string_equal(swap_result_word(&r), "staged");
	assert_int_equal(w.parks, 0);
	assert_true(w.staged);
	/* it can be tried again, with another outcome, and then for real */
	w.check = -EPERM;
	assert_int_equal(swap_start(r.id, &(struct swap_options){.dry_run = true}, nobody), 0);
	run();
	assert_int_equal(swap_result(r.id, &r), 0);
	assert_int_equal(r.state, SWAP_STAGED);
	assert_int_equal(r.error, -EPERM);
	expect_reason(&r, NULL, "because");
	w.check = 0;
	assert_int_equal(swap_start(r.id, &plain, nobody), 0);
	run();
	assert_int_equal(swap_result(r.id, &r), 0);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(w.told, 1); /* nobody asked to be told of the later ones */
}

static void test_refused(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.check = -EPERM;
	r = run_with(plain);
	expect_undone(&r, SWAP_REFUSED, -EPERM);
	expect_reason(&r, NULL, "because");
	assert_string_equal(swap_result_word(&r), "refused");
	assert_int_equal(w.parks, 0);

	start();
	r = run_with((struct swap_options){.has_expect_generation = true, .expect_generation = 4});
	expect_undone(&r, SWAP_REFUSED, -EPERM);
	expect_reason(&r, "generation-mismatch", "generation 0 runs, not 4 as expected");

	start();
	r = run_with((struct swap_options){.has_expect_generation = true});
	assert_int_equal(r.state, SWAP_FINALISED);
}

static void test_park(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.park_fails = 3;
	r = run_with(plain);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(r.tries, 4);

	start();
	w.park_fails = ALWAYS;
	r = run_with(plain);
	expect_undone(&r, SWAP_CANCELLED, -ETIMEDOUT);
	expect_reason(&r, "timed-out", "CPU 3 did not come");
	assert_int_equal(w.commits, 0);
	assert_string_equal(swap_result_word(&r), "cancelled");
}

static void test_idle(void **state)
{
	struct swap_result r;
	uint64_t before;

	(void)state;
	start();
	w.quiescence = CELL_QUIESCE_IDLE;
	w.busy = 4;
	r = run_with(plain);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(r.tries, 5);

	start();
	w.quiescence = CELL_QUIESCE_IDLE;
	w.busy = ALWAYS;
	before = w.now;
	r = run_with((struct swap_options){.timeout_ns = 50 * CLOCK_MS});
	expect_undone(&r, SWAP_CANCELLED, -ETIMEDOUT);
	expect_reason(&r, "timed-out", "task sleeper (4294967301) is inside old: old_fn+0x21");
	assert_int_equal(w.commits, 0);
	assert_true(w.now - before >= 50 * CLOCK_MS && w.now - before < 60 * CLOCK_MS);
}

static void test_commit_fails(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.commit = -ESTALE;
	r = run_with(plain);
	expect_undone(&r, SWAP_CANCELLED, -ESTALE);
	expect_reason(&r, "commit-failed", "all is undone");
	assert_int_equal(w.commits, 1);
	assert_int_equal(w.starts, 0);
}

/* After a failed init: the old generation runs. */
static void expect_taken_back(const struct swap_result *r)
{
	assert_int_equal(r->state, SWAP_CANCELLED);
	assert_int_equal(r->error, -ENOMEM);
	assert_int_equal(r->generation, 0);
	assert_int_equal(w.reverts, 1);
	assert_int_equal(w.drops, 0);
	assert_false(w.staged);
}

static void test_init_fails(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.init = -ENOMEM;
	w.held = 3; /* tasks are in what is taken back */
	r = run_with(plain);
	expect_taken_back(&r);
	assert_int_equal(r.bytes_quarantined, 0);
	assert_int_equal(w.finalised, 1);
	assert_int_equal(w.restarts, 3);
	expect_reason(&r, "init-failed", "the swap is undone");
	assert_int_equal(w.starts, 0);

	/* and stay there */
	start();
	w.init = -ENOMEM;
	w.held = ALWAYS;
	r = run_with(plain);
	expect_taken_back(&r);
	assert_int_equal(r.bytes_quarantined, 8192);
	assert_true(w.quarantined);
	w.held = 0;
	swap_reclaim();
	run();
	assert_false(w.quarantined);
	assert_int_equal(w.finalised, 1);

	/* the CPUs are slow on the way back: init is not called again */
	start();
	w.init = -ENOMEM;
	w.park_fails_after_init = 3;
	r = run_with(plain);
	expect_taken_back(&r);
	assert_int_equal(w.inits, 1);
}

static void test_held(void **state)
{
	struct swap_result r;

	(void)state;
	start();
	w.held = 5;
	r = run_with(plain);
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(w.restarts, 5);
	assert_false(w.quarantined);

	/* however short the swap may take */
	start();
	w.held = ALWAYS;
	r = run_with((struct swap_options){.timeout_ns = CLOCK_MS});
	assert_int_equal(r.state, SWAP_FINALISED);
	assert_int_equal(r.bytes_freed, 0);
	assert_int_equal(r.bytes_quarantined, 8192);
	assert_true(w.quarantined);
	assert_true(w.restarts > 3);
	assert_int_equal(w.finalised, 0);
}

/* Looked at when there is a reason, freed when nobody is in it and nothing calls it. */
static void test_quarantine(void **state)
{
	struct swap_result r;
	unsigned parks;

	(void)state;
	start();
	swap_reclaim();
	assert_int_equal(w.wakes, 0); /* nothing to look at */
	w.held = ALWAYS;
	r = run_with(plain);
	assert_true(w.quarantined);
	swap_reclaim();
	assert_int_equal(w.wakes, 2);
	run();
	assert_true(w.quarantined);
	parks = w.parks;
	w.park_fails = 1;
	run();
	assert_true(w.quarantined);
	w.held = 0;
	w.needed = true;
	run();
	assert_true(w.quarantined);
	w.needed = false;
	run();
	assert_false(w.quarantined);
	assert_int_equal(w.finalised, 1);
	assert_int_equal(w.parks, parks + 3);
	run();
	assert_int_equal(w.parks, parks + 3);
	assert_int_equal(swap_result(r.id, &r), 0);
	assert_int_equal(r.state, SWAP_FINALISED);

	/* nobody is in it, but code that is there calls it */
	start();
	w.needed = true;
	r = run_with(plain);
	assert_int_equal(r.bytes_quarantined, 8192);
	assert_true(w.quarantined);
}

static void test_too_many(void **state)
{
	struct loader_report report;
	uint64_t id;

	(void)state;
	start();
	w.too_many = true;
	assert_int_equal(swap_stage("x", 1, &id, &report), -EPERM);
	assert_string_equal(report.code, "too-many-changes");
	assert_int_equal(w.drops, 1);
}

static void test_one_at_a_time(void **state)
{
	struct loader_report report;
	struct swap_result r;
	uint64_t id, other;

	(void)state;
	start();
	w.create = -EPERM;
	assert_int_equal(swap_stage("x", 1, &id, &report), -EPERM);
	w.create = 0;
	w.no_object = true;
	assert_int_equal(swap_stage("x", 1, &id, &report), -ENOMEM);
	assert_int_equal(w.drops, 1);
	w.no_object = false;

	id = stage();
	assert_int_equal(swap_drop(id + 1), -ENOENT);
	assert_int_equal(swap_start(id + 1, &plain, nobody), -ENOENT);
	assert_int_equal(swap_start(id, &plain, nobody), 0);
	assert_int_equal(swap_start(id, &plain, nobody), -EBUSY);
	assert_int_equal(swap_drop(id), -EBUSY);
	assert_int_equal(swap_stage("x", 1, &other, &report), -EBUSY);
	assert_string_equal(report.code, "busy");
	assert_int_equal(swap_result(id, &r), 0);
	assert_true(r.running);
	assert_string_equal(swap_result_word(&r), "running");
	run();
	assert_int_equal(swap_drop(id), -ENOENT);
	assert_int_equal(swap_start(id, &plain, nobody), -ENOENT);

	other = stage();
	assert_int_equal(swap_drop(other), 0);
	assert_int_equal(w.drops, 2);
	assert_int_equal(swap_result(other, &r), -ENOENT);
	assert_int_equal(swap_drop(0), -ENOENT);
}

static void test_history(void **state)
{
	struct loader_report report;
	struct swap_result r;
	uint64_t id = 0;

	(void)state;
	start();
	assert_int_equal(swap_last(0, &r), -ENOENT);
	for (unsigned i = 0; i < 20; i++) {
		id = stage();
		assert_int_equal(swap_start(id, &plain, nobody), 0);
		run();
	}
	for (unsigned i = 0; i <= SWAP_HISTORY; i++) {
		assert_int_equal(swap_last(i, &r), 0);
		assert_int_equal(r.id, id - i);
		assert_int_equal(r.generation, 20 - i);
		assert_int_equal(swap_result(id - i, &r), 0);
	}
	assert_int_equal(swap_last(SWAP_HISTORY + 1, &r), -ENOENT);
	assert_int_equal(swap_result(id - SWAP_HISTORY - 1, &r), -ENOENT);
	assert_int_equal(swap_report(id, &report), 0);
	assert_int_equal(swap_report(id - 1, &report), -ENOENT);
	start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),         cmocka_unit_test(test_nothing_old),
		cmocka_unit_test(test_dry_run),      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_park),         cmocka_unit_test(test_idle),
		cmocka_unit_test(test_commit_fails), cmocka_unit_test(test_init_fails),
		cmocka_unit_test(test_held),         cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_history),      cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}
