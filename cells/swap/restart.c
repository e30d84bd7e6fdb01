/* SPDX-License-Identifier: MIT */
/*
 * Restart of a cell with fresh state, in the task that asks for it:
 *
 *   hold     its callers wait in hold(), below;     undo: let them go on
 *   park     nobody is inside, or: release, break off waits, later again
 *   reset    the state is what it was when linked;  undo: put back
 *   init     of the cell
 *   release  the callers' stubs call again
 */
#include "internal.h"

#include <theseus/command.h>
#include <theseus/log.h>
#include <theseus/switch.h>
#include <theseus/upcall.h>

#define TRY_FIRST_NS (CLOCK_MS / 4)
#define TRY_MAX_NS (8 * CLOCK_MS)
#define PARK_LIMIT_NS (100 * CLOCK_MS)
#define SCRUB_BYTES 1024u

/* ---- what callers of the cell run meanwhile ---- */

/* Words that the cell left below would make this task look as if it were inside. */
static __attribute__((noinline)) void scrub_stack(void)
{
	volatile uint64_t below[SCRUB_BYTES / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		below[i] = 0;
}

/* Instead of an export of the cell: its stub calls again for -ERESTART_CELL. */
static int64_t hold(void)
{
	struct swap_cell_state *s = swap_cell();
	uint64_t seen = task_event_count(&s->released);

	if (!__atomic_load_n(&s->holding, __ATOMIC_ACQUIRE))
		return -ERESTART_CELL;
	scrub_stack();
	return task_event_wait(&s->released, seen, CLOCK_NEVER) == -ECANCELED ? -ECANCELED
									      : -ERESTART_CELL;
}

static int begin_hold(struct loader_restart *restart)
{
	__atomic_store_n(&swap_cell()->holding, 1, __ATOMIC_RELEASE);
	return loader_restart_hold(restart);
}

/* However the restart ends, its callers go on. */
static void release(struct loader_restart **restart)
{
	if (!*restart)
		return;
	loader_restart_drop(*restart);
	__atomic_store_n(&swap_cell()->holding, 0, __ATOMIC_RELEASE);
	task_event_signal(&swap_cell()->released);
}

/* ---- nobody inside ---- */

struct attempt {
	uint64_t deadline_ns, try_ns;
	struct loader_report *report;
};

/* Result: 0: try again; -ETIMEDOUT, -ECANCELED. */
static int wait_a_little(struct attempt *a)
{
	uint64_t now = clock_now_ns();
	int r;

	if (now >= a->deadline_ns)
		return -ETIMEDOUT;
	r = task_sleep_until(now + a->try_ns);
	a->try_ns = a->try_ns < TRY_MAX_NS ? 2 * a->try_ns : TRY_MAX_NS;
	return r;
}

/* Result: 0, the others are parked, with nobody in the cell; -EAGAIN, nobody is, and a reason. */
static __attribute__((noinline)) int try_park(struct attempt *a, const char *name)
{
	struct swap_cell_state *s = swap_cell();
	struct loader_location at;
	unsigned cpu = 0;
	int r = cpu_park_others(PARK_LIMIT_NS, &cpu);

	if (r < 0) {
		swap_set_reason(a->report, "timed-out",
				"CPU %u did not come to a safe point in time: error %d", cpu, r);
		return -EAGAIN;
	}
	if (task_scan(&s->inside, 1, &s->hit) == 0)
		return 0;
	cpu_release_others();
	(void)task_restart_waits(&s->inside, 1);
	at = swap_place_of(s->hit.word);
	swap_set_reason(a->report, "timed-out", "task %s (%lu) is inside %s: %s+0x%lx on its stack",
			s->hit.name, task_id(s->hit.task), name, at.function, at.offset);
	return -EAGAIN;
}

static int park_outside(struct attempt *a, const char *name)
{
	int r;

	for (;;) {
		scrub_stack();
		r = try_park(a, name);
		if (r == 0)
			return 0;
		r = wait_a_little(a);
		if (r < 0)
			return r;
	}
}

/* ---- the whole ---- */

static int64_t call_init(void *arg)
{
	return loader_restart_init(arg);
}

static int init(struct loader_restart *restart, struct attempt *a, const char *name)
{
	int64_t value = 0;
	int r = switch_protect(call_init, restart, &value);

	if (r < 0)
		upcall_fault_report((uint64_t)value);
	else
		r = (int)value;
	if (r >= 0)
		return 0;
	/* there is no other way out, also for a task that was killed: no wait that would end it */
	for (scrub_stack(); try_park(a, name) < 0; scrub_stack())
		task_yield();
	loader_restart_undo(restart);
	cpu_release_others();
	swap_set_reason(a->report, "init-failed",
			"%s: init failed: error %d; its state is as it was", name, r);
	return r;
}

int swap_restart(const char *name, uint64_t timeout_ns, struct loader_report *ret_report)
{
	OWNED(release) struct loader_restart *restart = NULL;
	struct swap_cell_state *s = swap_cell();
	struct attempt a = {.try_ns = TRY_FIRST_NS, .report = ret_report};
	uint64_t start = clock_now_ns();
	int r;

	a.deadline_ns = clock_after(timeout_ns ? timeout_ns : SWAP_TIMEOUT_NS);
	r = loader_restart_create(name, (uintptr_t)hold, &restart, ret_report);
	if (r < 0)
		return r;
	loader_restart_range(restart, &s->inside.start, &s->inside.end);
	r = begin_hold(restart);
	if (r < 0) {
		swap_set_reason(ret_report, "gate", "the gate refuses a patch: error %d", r);
		return r;
	}
	r = park_outside(&a, name);
	if (r < 0)
		return r;
	loader_restart_reset(restart);
	cpu_release_others();
	r = init(restart, &a, name);
	if (r == 0)
		log_write(LOG_INFO, CELL_SELF, "%s restarted with fresh state after %lu us", name,
			  (clock_now_ns() - start) / 1000);
	return r;
}

/* Its frame and those below lie where scrub_stack() was: the report would not leave it room. */
static __attribute__((noinline)) int restart_cell(struct command_io *io, const char *name)
{
	OWNED(heap_drop) struct loader_report *report = heap_alloc(CELL_SELF, sizeof(*report));
	int r;

	if (!report) {
		command_printf(io, "restart: out of memory\n");
		return 1;
	}
	r = swap_restart(name, 0, report);
	for (uint32_t i = 0; r < 0 && i < report->n_reasons; i++)
		command_printf(io, "restart: %s\n", report->reasons[i]);
	return r < 0 ? 1 : 0;
}

static int restart_run(struct command_io *io, int argc, const char *const *argv)
{
	if (argc != 2) {
		command_printf(io, "usage: restart CELL\n");
		return 2;
	}
	scrub_stack(); /* of what other commands left in this task */
	return restart_cell(io, argv[1]);
}
CELL_PROVIDE(command_ops, restart) = {
	.run = restart_run,
	.help = "CELL  gives a cell fresh state; its objects and clients stay",
};
