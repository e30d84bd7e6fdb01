/* SPDX-License-Identifier: MIT */
#include <theseus/errno.h>
#include <theseus/heap.h>

#include "stage.h"
#include "state.h"
#include "stubs.h"

/* ---- preparing ---- */

/* Address that @r's import @import is bound to in @ns; 0 = none. */
static uint64_t bound_to(const struct namespace *ns, uint32_t index, uint32_t import)
{
	uint32_t number = namespace_bound(ns, index, import);

	return number == NAMESPACE_NONE ? 0 : record_export_addr(namespace_export(ns, number));
}

static int patch_site(struct loader_stage *stage, const struct record *r,
		      const struct record_site *site, uint64_t from, uint64_t to,
		      struct loader_report *report)
{
	uint64_t addr = window_addr(site->at);
	uint64_t old = link_site_value(site->type, site->addend, addr, from);
	uint64_t new = link_site_value(site->type, site->addend, addr, to);

	if (to == 0) {
		report_add(report, "missing-symbol", "%s: %s would leave, but it is linked to it",
			   r->name, r->imports[site->import].name);
		return -EPERM;
	}
	if (!link_site_reaches(site->type, new)) {
		report_add(report, "relocation-range", "%s: %s+0x%lx does not reach the new %s",
			   r->name, r->sections[site->section].name,
			   (uint64_t)(site->at - r->sections[site->section].at),
			   r->imports[site->import].name);
		return -EPERM;
	}
	patch_list_add(&stage->patches, addr, old, new, link_site_is_wide(site->type));
	return 0;
}

/* Sites of a cell that stays, as far as they are bound to something that moves. */
static int patch_dependent(struct loader_stage *stage, uint32_t after, struct loader_report *report)
{
	const struct record *r = stage->after->cells[after];
	uint32_t before = namespace_index_of(stage->before, r);
	int error = 0, e;

	e = patch_list_reserve(&stage->patches, r->n_sites * 2);
	if (e < 0)
		return e;
	for (uint32_t i = 0; i < r->n_sites; i++) {
		uint64_t from = bound_to(stage->before, before, r->sites[i].import);
		uint64_t to = bound_to(stage->after, after, r->sites[i].import);

		if (from == to)
			continue;
		e = patch_site(stage, r, &r->sites[i], from, to, report);
		if (e < 0)
			error = e;
	}
	return error;
}

static void repoint(struct loader_stage *stage, uint32_t index, uint64_t ops)
{
	struct iface_slot slot = slot_read(index);

	slot.ops = (const void *)(uintptr_t)ops;
	slot_change(&stage->patches, index, slot);
}

static void vacate(struct loader_stage *stage, uint32_t index)
{
	slot_vacate(&stage->patches, index);
}

/* Slots of @old point at @new's tables, or become vacant: @new may be NULL. */
static int change_slots(struct loader_stage *stage, const struct record *old,
			const struct record *new)
{
	int e = patch_list_reserve(&stage->patches, 4 * (1 + old->n_provides + old->n_exports));

	if (e < 0)
		return e;
	if (new)
		repoint(stage, old->self, record_ops_addr(new));
	else
		vacate(stage, old->self);
	for (uint32_t i = 0; i < old->n_provides; i++) {
		const struct record_provide *p = &old->provides[i];
		const struct record_provide *same =
			new ? record_find_provide(new, p->interface, p->name) : NULL;

		if (p->slot == old->self)
			continue;
		if (same)
			repoint(stage, p->slot, window_addr(same->at));
		else
			vacate(stage, p->slot);
	}
	for (uint32_t i = 0; i < old->n_exports; i++) {
		const struct record_export *b = &old->exports[i], *same = record_find_blocking(new, b->name);

		if (!b->blocking)
			continue;
		if (same)
			repoint(stage, b->slot, window_addr(same->at));
		else
			vacate(stage, b->slot);
	}
	return 0;
}

/* Marks who is linked to @r in @ns, by the index it has afterwards. */
static void mark_users(const struct loader_stage *stage, const struct namespace *ns,
		       const struct record *r, bool *marks)
{
	struct namespace_list users = ns->nodes[namespace_index_of(ns, r)].users;

	for (uint32_t i = 0; i < users.n; i++) {
		const struct record *user = ns->cells[ns->users[users.first + i]];
		uint32_t after = namespace_index_of(stage->after, user);

		if (after != NAMESPACE_NONE)
			marks[after] = true;
	}
}

/* Cells that stay and are linked to one that does not, or will be to a new one. */
static void mark_dependents(const struct loader_stage *stage, bool *marks)
{
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		if (stage->cells[i].old)
			mark_users(stage, stage->before, stage->cells[i].old, marks);
		mark_users(stage, stage->after, stage->cells[i].new, marks);
	}
	for (uint32_t i = 0; i < stage->n_gone; i++)
		mark_users(stage, stage->before, stage->gone[i], marks);
	for (uint32_t i = 0; i < stage->n_cells; i++)
		marks[namespace_index_of(stage->after, stage->cells[i].new)] = false;
}

static int patch_dependents(struct loader_stage *stage, struct loader_report *report)
{
	uint32_t n = stage->after->n_cells;
	bool *marks = heap_alloc(CELL_SELF, n + 1);
	int error = 0, e;

	if (!marks)
		return -ENOMEM;
	memset(marks, 0, n);
	mark_dependents(stage, marks);
	for (uint32_t i = 0; i < n; i++) {
		e = marks[i] ? patch_dependent(stage, i, report) : 0;
		if (e < 0)
			error = e;
	}
	heap_free(marks);
	return error;
}

int commit_prepare(struct loader_stage *stage, struct loader_report *report)
{
	int error = patch_dependents(stage, report);

	for (uint32_t i = 0; i < stage->n_cells && error == 0; i++) {
		if (stage->cells[i].old)
			error = change_slots(stage, stage->cells[i].old, stage->cells[i].new);
	}
	for (uint32_t i = 0; i < stage->n_gone && error == 0; i++)
		error = change_slots(stage, stage->gone[i], NULL);
	return error;
}

/* ---- applying ---- */

/* State regions change hands together with the namespace. */
static void hand_over_states(struct loader_stage *stage, bool back)
{
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		if (!stage->cells[i].old)
			continue;
		stage->cells[i].old->keeps_state = back;
		stage->cells[i].new->keeps_state = !back;
	}
}

static void switch_namespace(struct namespace *now, struct namespace *was)
{
	struct loader_state *s = loader_state();

	__atomic_store_n(&s->retiring, was, __ATOMIC_RELEASE);
	__atomic_store_n(&s->namespace, now, __ATOMIC_RELEASE);
}

int commit_apply(struct loader_stage *stage)
{
	int r = machine_patch(stage->patches.patches, stage->patches.n);

	if (r < 0)
		return r;
	hand_over_states(stage, false);
	switch_namespace(stage->after, stage->before);
	stage->state = STAGE_COMMITTED;
	stage->taken_back = false;
	return 0;
}

int commit_revert(struct loader_stage *stage)
{
	int r = machine_unpatch(stage->patches.patches, stage->patches.n);

	if (r < 0)
		return r;
	hand_over_states(stage, true);
	switch_namespace(stage->before, stage->after);
	stage->state = STAGE_READY;
	stage->taken_back = true;
	return 0;
}
