/* SPDX-License-Identifier: MIT */
/*
 * The runner. Each call does what lies between two safe points and returns, so that the next
 * one is made through the service's slot: by the new code, if this cell itself was replaced.
 * The CPUs are parked only within one call.
 *
 *   start ──check──> CHECKED ──park, commit, release──> COMMITTED ──init──> RELEASED ──scan──>
 *             └ no ──> REFUSED   └ timeout ──> CANCELLED    └ -errno: revert ──> REVERTED ──scan──>
 *
 * The last leads to FINALISED and CANCELLED: with the code that tasks may be in freed or put
 * into quarantine.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <theseus/log.h>
#include <theseus/upcall.h>

#define TRY_FIRST_NS (CLOCK_MS / 4)
#define TRY_MAX_NS (16 * CLOCK_MS)
#define PARK_LIMIT_NS (100 * CLOCK_MS)
#define FINALISE_LIMIT_NS (250 * CLOCK_MS)
#define SCRUB_BYTES 6144u

/*
 * Zeroes the stack below the caller. What runs next builds its frames there, and a word that
 * an earlier call left between their variables would look like a live pointer to old code.
 */
static __attribute__((noinline)) void scrub_stack(void)
{
	volatile uint64_t below[SCRUB_BYTES / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		below[i] = 0;
}

static struct service_next over(struct swap_transaction *t, enum swap_state state, int error)
{
	struct swap_cell_state *s = swap_cell();
	struct swap_watch_ops_h watcher = t->watcher;
	const struct swap_watch_ops *ops;

	spin_lock_as(&s->lock, swap_results);
	t->result.state = state;
	t->result.error = error;
	t->result.running = false;
	t->result.generation = loader_generation();
	t->result.total_ns = t->result.stage_ns + (clock_now_ns() - t->run_ns);
	s->active = 0;
	spin_unlock_as(&s->lock, swap_results);
	ops = swap_watch_ops_get(watcher);
	if (ops)
		ops->changed();
	return service_again(); /* what is in quarantine may have been left */
}

/* Nothing is left of it but its record. */
static struct service_next end(struct swap_transaction *t, enum swap_state state, int error)
{
	if (t->stage)
		loader_stage_drop(TAKE(t->stage));
	log_write(LOG_WARNING, CELL_SELF, "swap %lu %s: %s", t->result.id,
		  state == SWAP_REFUSED ? "refused" : "cancelled", t->report.reasons[0]);
	return over(t, state, error);
}

void swap_set_reason(struct loader_report *report, const char *code, const char *fmt, ...)
{
	va_list args;

	memset(report, 0, sizeof(*report));
	(void)strlcpy(report->code, code, sizeof(report->code));
	va_start(args, fmt);
	(void)vsnprintf(report->reasons[0], sizeof(report->reasons[0]), fmt, args);
	va_end(args);
	report->n_reasons = 1;
}

/* ---- check ---- */

static bool must_be_idle(const struct swap_transaction *t, const char *cell)
{
	for (uint32_t i = 0; i < t->result.n_changes; i++) {
		if (t->changes[i].quiescence == CELL_QUIESCE_IDLE &&
		    strcmp(t->changes[i].name, cell) == 0)
			return true;
	}
	return false;
}

/* Puts the text of cells that may be replaced only while nobody is inside first. */
static void list_idle(struct swap_transaction *t)
{
	struct task_range *list = t->old.list, range;
	struct loader_location at;

	t->n_idle = 0;
	for (uint32_t i = 0; i < t->old.n; i++) {
		if (loader_locate(list[i].start, &at) < 0 || !must_be_idle(t, at.cell))
			continue;
		range = list[i];
		list[i] = list[t->n_idle];
		list[t->n_idle++] = range;
	}
}

static struct service_next check(struct swap_transaction *t)
{
	const struct swap_options *o = &t->options;
	uint64_t generation = loader_generation();
	int r = loader_stage_check(t->stage, &t->report);

	if (r == 0 && o->has_expect_generation && o->expect_generation != generation) {
		swap_set_reason(&t->report, "generation-mismatch", "generation %lu runs, not %lu as expected",
			   generation, o->expect_generation);
		r = -EPERM;
	}
	if (o->dry_run)
		return over(t, SWAP_STAGED, r);
	if (r < 0)
		return end(t, SWAP_REFUSED, r);
	list_idle(t);
	t->result.state = SWAP_CHECKED;
	t->try_ns = TRY_FIRST_NS;
	return service_again();
}

/* ---- park, commit, release ---- */

/* Later, a little later each time, but not after @limit_ns. False: it is too late. */
static bool try_later(struct swap_transaction *t, uint64_t limit_ns, struct service_next *ret_next)
{
	uint64_t now = clock_now_ns(), next = now + t->try_ns;

	if (now >= limit_ns)
		return false;
	t->try_ns = t->try_ns < TRY_MAX_NS ? 2 * t->try_ns : TRY_MAX_NS;
	*ret_next = service_wait(next < limit_ns ? next : limit_ns);
	return true;
}

static struct service_next park_failed(struct swap_transaction *t, int error, unsigned cpu)
{
	struct service_next next;

	if (try_later(t, t->deadline_ns, &next))
		return next;
	swap_set_reason(&t->report, "timed-out", "CPU %u did not come to a safe point in time: error %d", cpu,
		   error);
	return end(t, SWAP_CANCELLED, -ETIMEDOUT);
}

struct loader_location swap_place_of(uint64_t addr)
{
	struct loader_location at;

	if (loader_locate(addr, &at) < 0)
		at = (struct loader_location){.cell = "?"};
	return at;
}

static struct service_next not_idle(struct swap_transaction *t, const struct task_hit *hit)
{
	struct loader_location at = swap_place_of(hit->word);
	struct service_next next;

	if (try_later(t, t->deadline_ns, &next))
		return next;
	swap_set_reason(&t->report, "timed-out", "task %s (%lu) is inside %s: %s+0x%lx on its stack", hit->name,
		   task_id(hit->task), at.cell, at.function, at.offset);
	return end(t, SWAP_CANCELLED, -ETIMEDOUT);
}

static void note_times(struct swap_transaction *t)
{
	struct cpu_park_times times;

	cpu_park_times(&times);
	t->result.quiesce_ns = times.last_parked - t->run_ns;
	t->result.pause_ns = times.released - times.first_parked;
	t->released_ns = times.released;
}

static struct service_next commit(struct swap_transaction *t)
{
	struct task_hit hit;
	unsigned cpu = 0;
	int r;

	t->result.tries++;
	r = cpu_park_others(PARK_LIMIT_NS, &cpu);
	if (r < 0)
		return park_failed(t, r, cpu);
	t->result.state = SWAP_PARKED;
	r = t->n_idle ? task_scan(t->old.list, t->n_idle, &hit) : 0;
	if (r != 0) {
		cpu_release_others();
		return not_idle(t, &hit);
	}
	r = loader_stage_commit(t->stage);
	if (r == 0)
		t->result.state = SWAP_COMMITTED;
	cpu_release_others();
	if (r < 0) {
		swap_set_reason(&t->report, "commit-failed", "the gate refuses a patch: error %d; all is undone",
			   r);
		return end(t, SWAP_CANCELLED, r);
	}
	note_times(t);
	return service_again();
}

/* ---- after the release ---- */

/* Back to the old cells. Parking may need several rounds; there is no other way out. */
static struct service_next revert(struct swap_transaction *t, int error)
{
	unsigned cpu;
	int r = cpu_park_others(PARK_LIMIT_NS, &cpu);

	if (r < 0)
		return service_wait(clock_after(TRY_FIRST_NS));
	r = loader_stage_revert(t->stage);
	cpu_release_others();
	if (r < 0)
		upcall_crash("swap: the gate refuses the way back to the old generation");
	swap_set_reason(&t->report, "init-failed", "init of a new cell failed: error %d; the swap is undone",
		   error);
	swap_list_old(t->stage, &t->old);
	t->result.state = SWAP_REVERTED;
	t->released_ns = clock_now_ns();
	t->try_ns = TRY_FIRST_NS;
	return service_again();
}

static struct service_next start_new_cells(struct swap_transaction *t)
{
	int r;

	/* the way back may take several rounds; init is called in the first one only */
	if (t->init_error == 0)
		t->init_error = loader_stage_init(t->stage);
	if (t->init_error < 0)
		return revert(t, t->init_error);
	r = service_start_all();
	if (r < 0)
		log_write(LOG_WARNING, CELL_SELF, "swap %lu: a new service did not start: %d",
			  t->result.id, r);
	t->result.state = SWAP_RELEASED;
	t->try_ns = TRY_FIRST_NS;
	return service_again();
}

/* ---- finalise ---- */

static struct service_next finished(struct swap_transaction *t)
{
	t->result.finalise_ns = clock_now_ns() - t->released_ns;
	if (t->result.state == SWAP_REVERTED)
		return end(t, SWAP_CANCELLED, t->init_error);
	log_write(LOG_INFO, CELL_SELF, "swap %lu: generation %lu, paused %lu us", t->result.id,
		  loader_generation(), t->result.pause_ns / 1000);
	return over(t, SWAP_FINALISED, 0);
}

static uint64_t bytes_of(const struct swap_ranges *ranges)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < ranges->n; i++)
		bytes += ranges->list[i].end - ranges->list[i].start;
	return bytes;
}

/* @hit: who is in there; NULL: only other code in quarantine needs it. */
static struct service_next quarantine(struct swap_transaction *t, const struct task_hit *hit)
{
	struct loader_location at;

	t->result.bytes_quarantined = bytes_of(&t->old);
	loader_stage_quarantine(TAKE(t->stage));
	if (hit) {
		at = swap_place_of(hit->word);
		log_write(LOG_NOTICE, CELL_SELF,
			  "swap %lu: the stack of task %s (%lu) still holds %s:%s+0x%lx; %lu bytes "
			  "stay mapped until it has left",
			  t->result.id, hit->name, task_id(hit->task), at.cell, at.function,
			  at.offset, t->result.bytes_quarantined);
	}
	return finished(t);
}

static struct service_next scan(struct swap_transaction *t)
{
	uint64_t limit = t->released_ns + FINALISE_LIMIT_NS;
	struct service_next next;
	struct task_hit hit;
	int r = t->old.n ? swap_find_inside(&t->old, &hit) : 0;

	if (r < 0)
		return service_wait(clock_after(t->try_ns));
	if (r > 0 && try_later(t, limit, &next))
		return next;
	if (r > 0)
		return quarantine(t, &hit);
	if (loader_stage_needed(t->stage))
		return quarantine(t, NULL);
	t->result.bytes_freed = loader_stage_finalise(TAKE(t->stage));
	return finished(t);
}

struct service_next swap_step(void)
{
	struct swap_cell_state *s = swap_cell();
	uint64_t id = __atomic_load_n(&s->active, __ATOMIC_ACQUIRE);
	struct swap_transaction *t;

	spin_lock_as(&s->lock, swap_results);
	t = swap_find(id);
	spin_unlock_as(&s->lock, swap_results);
	scrub_stack();
	if (!t) {
		swap_quarantine_look();
		return service_wait(CLOCK_NEVER);
	}
	switch (t->result.state) {
	case SWAP_STAGED:
		return check(t);
	case SWAP_CHECKED:
	case SWAP_PARKED:
		return commit(t);
	case SWAP_COMMITTED:
		return start_new_cells(t);
	default:
		return scan(t);
	}
}
