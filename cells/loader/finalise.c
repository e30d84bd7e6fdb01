/* SPDX-License-Identifier: MIT */
/*
 * The end of a stage. What it made obsolete is unmapped when nobody can come back to it: no
 * task is in it, which the swap cell looks after, and no other code in quarantine calls it.
 * Code in quarantine is called by nobody new, but it stays linked to what it was linked to:
 * a commit patches the cells of a generation only.
 */
#include <theseus/errno.h>
#include <theseus/heap.h>

#include "stage.h"
#include "state.h"
#include "stubs.h"

/* ---- what is obsolete ---- */

uint32_t stage_n_obsolete(const struct loader_stage *stage)
{
	return stage->n_cells + (stage->taken_back ? 0 : stage->n_gone);
}

struct record *stage_obsolete(const struct loader_stage *stage, uint32_t i)
{
	if (i >= stage->n_cells)
		return stage->gone[i - stage->n_cells];
	return stage->taken_back ? stage->cells[i].new : stage->cells[i].old;
}

static const struct record *successor(const struct loader_stage *stage, uint32_t i)
{
	return i < stage->n_cells ? stage->cells[i].new : NULL;
}

/*
 * The stub of the @n-th export of what is obsolete at @i, if it goes with it; else 0. Stubs of
 * what is taken back are in stage->taken.
 */
static uint32_t stub_of(const struct loader_stage *stage, uint32_t i, uint32_t n)
{
	const struct record_export *e = &stage_obsolete(stage, i)->exports[n];

	if (stage->taken_back || !e->blocking ||
	    record_find_blocking(successor(stage, i), e->name))
		return 0;
	return e->stub_at;
}

/* Ranges one after the other, until @take says that it has what it wants. */
static bool walk(const struct loader_stage *stage,
		 bool (*take)(void *arg, uint32_t at, uint32_t bytes), void *arg)
{
	for (uint32_t i = 0; i < stage_n_obsolete(stage); i++) {
		const struct record *r = stage_obsolete(stage, i);

		for (unsigned j = LINK_TEXT; r && j <= LINK_RODATA; j++) {
			if (r->regions[j].bytes && take(arg, r->regions[j].at, r->regions[j].bytes))
				return true;
		}
		for (uint32_t n = 0; r && n < r->n_exports; n++) {
			uint32_t stub = stub_of(stage, i, n);

			if (stub && take(arg, stub, STUB_BYTES))
				return true;
		}
	}
	for (uint32_t i = 0; i < stage->n_taken && stage->taken_back; i++) {
		if (stage->taken[i].stub_at && take(arg, stage->taken[i].stub_at, STUB_BYTES))
			return true;
	}
	return false;
}

struct nth {
	uint32_t left, at, bytes;
};

static bool take_nth(void *arg, uint32_t at, uint32_t bytes)
{
	struct nth *nth = arg;

	nth->at = at;
	nth->bytes = bytes;
	return nth->left-- == 0;
}

int loader_stage_old_range(const struct loader_stage *stage, uint32_t index, uint64_t *ret_start,
			   uint64_t *ret_end)
{
	struct nth nth = {.left = index};

	if (!walk(stage, take_nth, &nth))
		return -ENOENT;
	*ret_start = window_addr(nth.at);
	*ret_end = window_addr(nth.at) + nth.bytes;
	return 0;
}

static bool count(void *arg, uint32_t at, uint32_t bytes)
{
	uint32_t *n = arg;

	(void)at;
	(void)bytes;
	return ++*n > LOADER_RANGES_MAX;
}

int finalise_check(struct loader_stage *stage, struct loader_report *report)
{
	uint32_t replaced = 0, brought = 0;

	(void)walk(stage, count, &replaced);
	stage->taken_back = true;
	(void)walk(stage, count, &brought);
	stage->taken_back = false;
	if (replaced <= LOADER_RANGES_MAX && brought <= LOADER_RANGES_MAX)
		return 0;
	report_add(report, "too-many-changes",
		   "the bundle replaces, brings or takes away too much code at once: more than %u ranges",
		   LOADER_RANGES_MAX);
	return -EPERM;
}

/* ---- who calls whom ---- */

static bool take_that_with(void *arg, uint32_t at, uint32_t bytes)
{
	const uint32_t *target = arg;

	return *target - at < bytes;
}

/* Where a site of a linked cell leads. */
static uint64_t target_of(const struct record_site *site)
{
	const uint8_t *bytes = machine_bytes(site->at);
	uint64_t zero = link_site_value(site->type, site->addend, window_addr(site->at), 0), value;
	int32_t narrow;

	if (link_site_is_wide(site->type)) {
		memcpy(&value, bytes, sizeof(value));
	} else {
		memcpy(&narrow, bytes, sizeof(narrow));
		value = (uint64_t)(int64_t)narrow;
	}
	return value - zero;
}

static bool calls(const struct record *r, const struct loader_stage *stage)
{
	for (uint32_t i = 0; i < r->n_sites; i++) {
		uint64_t target = target_of(&r->sites[i]);
		uint32_t at = window_at(target);

		if (target >= GATE_CELL_WINDOW && target < GATE_CELL_WINDOW_END &&
		    walk(stage, take_that_with, &at))
			return true;
	}
	return false;
}

bool loader_stage_needed(const struct loader_stage *stage)
{
	const struct loader_stage *other = loader_state()->quarantine;

	for (; other; other = other->next) {
		for (uint32_t i = 0; other != stage && i < stage_n_obsolete(other); i++) {
			const struct record *r = stage_obsolete(other, i);

			if (r && calls(r, stage))
				return true;
		}
	}
	return false;
}

/* ---- quarantine ---- */

/* Until nobody looks at what is no longer reachable. */
static void wait_for_readers(struct loader_state *s)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while (__atomic_load_n(&s->locating, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

/* Later swaps free the cells that this stage's other side consists of: it is not looked at. */
static void forget_other_side(struct loader_stage *stage)
{
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		struct record *r = stage_obsolete(stage, i);

		for (uint32_t n = 0; r && !stage->taken_back && n < r->n_exports; n++)
			r->exports[n].blocking = stub_of(stage, i, n) != 0;
		if (stage->taken_back)
			stage->cells[i].old = NULL;
		else
			stage->cells[i].new = NULL;
	}
}

void commit_quarantine(struct loader_stage *stage)
{
	struct loader_state *s = loader_state();
	struct loader_stage **end = &s->quarantine;

	forget_other_side(stage);
	stage->quarantined = true;
	spin_lock_as(&s->lock, loader_names);
	while (*end)
		end = &(*end)->next;
	__atomic_store_n(end, stage, __ATOMIC_RELEASE);
	spin_unlock_as(&s->lock, loader_names);
	__atomic_store_n(&s->retiring, NULL, __ATOMIC_RELEASE);
	wait_for_readers(s);
	if (stage->taken_back)
		namespace_free(TAKE(stage->after));
	else
		namespace_free(TAKE(stage->before));
	patch_list_free(&stage->patches);
}

struct loader_stage *loader_quarantined_stage(uint32_t index)
{
	struct loader_stage *stage = loader_state()->quarantine;

	while (stage && index-- > 0)
		stage = stage->next;
	return stage;
}

const struct record *quarantine_locate(const struct loader_state *s, uint32_t at)
{
	const struct loader_stage *stage = __atomic_load_n(&s->quarantine, __ATOMIC_ACQUIRE);

	for (; stage; stage = __atomic_load_n(&stage->next, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < stage_n_obsolete(stage); i++) {
			const struct record *r = stage_obsolete(stage, i);

			if (r && at - r->regions[LINK_TEXT].at < r->regions[LINK_TEXT].bytes)
				return r;
		}
	}
	return NULL;
}

/* ---- finalising ---- */

/* Nobody finds it from here on. */
static void withdraw(struct loader_stage *stage)
{
	struct loader_state *s = loader_state();
	struct loader_stage **at = &s->quarantine;

	if (stage->quarantined) {
		spin_lock_as(&s->lock, loader_names);
		while (*at != stage)
			at = &(*at)->next;
		__atomic_store_n(at, stage->next, __ATOMIC_RELEASE);
		spin_unlock_as(&s->lock, loader_names);
	} else {
		__atomic_store_n(&s->retiring, NULL, __ATOMIC_RELEASE);
	}
	wait_for_readers(s);
}

static uint64_t obsolete_bytes(const struct loader_stage *stage)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < stage_n_obsolete(stage); i++) {
		const struct record *r = stage_obsolete(stage, i);

		for (unsigned j = 0; r && j < LINK_REGIONS; j++) {
			if (j != LINK_STATE || r->keeps_state)
				bytes += r->regions[j].bytes;
		}
	}
	return bytes;
}

static void free_obsolete(struct loader_stage *stage, uint32_t i)
{
	struct record *r = stage_obsolete(stage, i);

	for (uint32_t n = 0; r && n < r->n_exports; n++) {
		uint32_t stub = stub_of(stage, i, n);

		if (stub)
			stub_give(stub);
	}
	if (r)
		machine_unmap(r->regions, r->keeps_state ? LINK_REGIONS : LINK_STATE);
	record_free(r);
}

uint64_t commit_finalise(struct loader_stage *stage)
{
	uint64_t bytes = obsolete_bytes(stage);

	withdraw(stage);
	if (stage->taken_back) {
		stage_destroy(stage);
		return bytes;
	}
	for (uint32_t i = 0; i < stage_n_obsolete(stage); i++)
		free_obsolete(stage, i);
	namespace_free(stage->before);
	stage_free(stage);
	return bytes;
}
