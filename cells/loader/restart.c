/* SPDX-License-Identifier: MIT */
/*
 * A cell gets its first state back. Who calls a blocking export of it, or of a cell that uses
 * it, waits meanwhile in a function of whoever restarts it: its stub calls again afterwards.
 * Cells that the restart itself runs on hold nobody: `task` uses each cell that provides a task's
 * entry, and who restarts one of these sleeps.
 *
 * Addresses of the cell window have one upper half, so that a slot changes by one 32-bit
 * record: whoever calls through it meanwhile sees the old function or the new one.
 */
#include <theseus/errno.h>
#include <theseus/gate-call.h>
#include <theseus/heap.h>

#include "stage.h"
#include "state.h"

struct loader_restart {
	struct record *cell;
	struct patch_list hold; /* slots, from their functions to the one that waits */
	uint8_t *before;        /* room for the state as it is; NULL: the cell has none */
	bool held;
};

static const struct record_region *state_of(const struct loader_restart *t)
{
	return &t->cell->regions[LINK_STATE];
}

static bool runs_a_service(const struct record *r)
{
	for (uint32_t i = 0; i < r->n_provides; i++) {
		if (strcmp(r->provides[i].interface, "service_ops") == 0)
			return true;
	}
	return false;
}

static bool is_quarantined(const char *name)
{
	const struct loader_stage *stage = loader_state()->quarantine;

	for (; stage; stage = stage->next) {
		for (uint32_t i = 0; i < stage_n_obsolete(stage); i++) {
			const struct record *r = stage_obsolete(stage, i);

			if (r && strcmp(r->name, name) == 0)
				return true;
		}
	}
	return false;
}

static int find_cell(const struct namespace *ns, const char *name, uint32_t *ret_index,
		     struct loader_report *report)
{
	uint32_t index = namespace_find_cell(ns, slice_of(name));

	if (index == NAMESPACE_NONE) {
		report_add(report, "no-such-cell", "%s: no such cell", name);
		return -ENOENT;
	}
	*ret_index = index;
	if (ns->cells[index]->restart != CELL_RESTART_ALWAYS) {
		report_add(report, "never-restarted",
			   "%s: its manifest says that it is never restarted", name);
		return -EPERM;
	}
	if (runs_a_service(ns->cells[index])) {
		report_add(report, "never-restarted",
			   "%s: it runs a service, whose init would not be called again", name);
		return -EPERM;
	}
	if (is_quarantined(name)) {
		report_add(report, "busy", "%s: a task is still inside a version that was replaced",
			   name);
		return -EBUSY;
	}
	return 0;
}

static int hold_exports(struct loader_restart *t, const struct record *r, uint64_t hold)
{
	int e = patch_list_reserve(&t->hold, 4 * (1 + r->n_exports));

	for (uint32_t i = 0; i < r->n_exports && e == 0; i++) {
		struct iface_slot slot;

		if (!r->exports[i].blocking)
			continue;
		slot = slot_read(r->exports[i].slot);
		slot.ops = (const void *)(uintptr_t)hold;
		slot_change(&t->hold, r->exports[i].slot, slot);
	}
	return e;
}

/* Marks the cell whose function @hold is, and what it is linked to, through others as well. */
static void mark_needed(const struct namespace *ns, uint64_t hold, bool *needed)
{
	enum link_region region;
	const struct record *holder = namespace_locate(ns, window_at(hold), &region);
	bool more = holder;

	if (holder)
		needed[namespace_index_of(ns, holder)] = true;
	while (more) {
		more = false;
		for (uint32_t i = 0; i < ns->n_cells; i++) {
			if (needed[i])
				more |= namespace_mark_deps(ns, i, needed);
		}
	}
}

/* Those of the cell and of who depends on it. */
static int hold_all(struct loader_restart *t, const struct namespace *ns, uint32_t index,
		    uint64_t hold)
{
	bool *held = heap_alloc(CELL_SELF, 2 * (size_t)ns->n_cells), *needed = held + ns->n_cells;
	int r = 0;

	if (!held)
		return -ENOMEM;
	memset(held, 0, 2 * (size_t)ns->n_cells);
	namespace_dependents(ns, index, held);
	held[index] = true;
	mark_needed(ns, hold, needed);
	for (uint32_t i = 0; i < ns->n_cells && r == 0; i++) {
		if (held[i] && !needed[i])
			r = hold_exports(t, ns->cells[i], hold);
	}
	heap_free(held);
	return r;
}

static int prepare(struct loader_restart *t, const struct namespace *ns, uint32_t index,
		   uint64_t hold)
{
	int r;

	t->cell = ns->cells[index];
	r = hold_all(t, ns, index, hold);
	if (r == 0 && state_of(t)->bytes) {
		t->before = heap_alloc(CELL_SELF, state_of(t)->bytes);
		r = t->before ? 0 : -ENOMEM;
	}
	return r;
}

static void restart_free(struct loader_restart *t)
{
	patch_list_free(&t->hold);
	heap_free(t->before);
	heap_free(t);
	__atomic_store_n(&loader_state()->busy, 0, __ATOMIC_RELEASE);
}

int loader_restart_create(const char *name, uint64_t hold, struct loader_restart **ret_restart,
			  struct loader_report *ret_report)
{
	struct loader_restart *t;
	uint32_t index = 0;
	int r;

	memset(ret_report, 0, sizeof(*ret_report));
	if (__atomic_exchange_n(&loader_state()->busy, 1, __ATOMIC_ACQUIRE)) {
		report_add(ret_report, "busy", "a bundle is staged or being swapped");
		return -EBUSY;
	}
	r = find_cell(loader_state()->namespace, name, &index, ret_report);
	t = r < 0 ? NULL : heap_alloc(CELL_SELF, sizeof(*t));
	if (!t) {
		__atomic_store_n(&loader_state()->busy, 0, __ATOMIC_RELEASE);
		if (r == 0)
			report_add(ret_report, "no-memory", "%s: not enough memory", name);
		return r < 0 ? r : -ENOMEM;
	}
	*t = (struct loader_restart){0};
	r = prepare(t, loader_state()->namespace, index, hold);
	if (r < 0) {
		report_add(ret_report, "no-memory", "%s: not enough memory", name);
		restart_free(t);
		return r;
	}
	*ret_restart = t;
	return 0;
}

int loader_restart_hold(struct loader_restart *t)
{
	int r = machine_patch(t->hold.patches, t->hold.n);

	t->held = r == 0;
	return r;
}

void loader_restart_range(const struct loader_restart *t, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct record_region *text = &t->cell->regions[LINK_TEXT];

	*ret_start = window_addr(text->at);
	*ret_end = window_addr(text->at) + text->bytes;
}

void loader_restart_reset(struct loader_restart *t)
{
	const struct record_region *state = state_of(t);

	if (!t->before)
		return;
	memcpy(t->before, machine_bytes(state->at), state->bytes);
	if (t->cell->initial)
		memcpy(machine_bytes(state->at), t->cell->initial, state->bytes);
	else
		memset(machine_bytes(state->at), 0, state->bytes);
}

void loader_restart_undo(struct loader_restart *t)
{
	if (t->before)
		memcpy(machine_bytes(state_of(t)->at), t->before, state_of(t)->bytes);
}

int loader_restart_init(struct loader_restart *t)
{
	const struct cell_boot boot = {(const struct boot_record *)(uintptr_t)GATE_BOOT_RECORD,
				       NULL};
	const struct cell_ops *ops = record_ops(t->cell);
	int r = ops && ops->init ? ops->init(&boot) : 0;

	return r < 0 ? r : 0;
}

void loader_restart_drop(struct loader_restart *t)
{
	if (!t)
		return;
	if (t->held && machine_unpatch(t->hold.patches, t->hold.n) < 0)
		gate_crash("loader: the gate refuses to let go who was held");
	restart_free(t);
}
