/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

#include "sha256.h"
#include "state.h"
#include "stubs.h"

static void *alloc_zeroed(size_t bytes)
{
	void *p = heap_alloc(CELL_SELF, bytes + 1);

	if (p)
		memset(p, 0, bytes);
	return p;
}

/* ---- opening: bytes to checked objects and records without addresses ---- */

void stage_close_cell(struct staged_cell *cell)
{
	heap_free(cell->arena);
	cell->arena = NULL;
	cell->imports = NULL;
}

static int check_member(const struct archive *archive, bool hash, const struct manifest_cell *m,
			struct slice *ret_file, struct loader_report *report)
{
	uint8_t digest[SHA256_BYTES];

	if (archive_find(archive, m->object, ret_file) < 0) {
		report_add(report, "bad-archive", "%.*s: the bundle has no member %.*s",
			   SLICE_ARG(m->name), SLICE_ARG(m->object));
		return -EINVAL;
	}
	if (ret_file->n != m->size) {
		report_add(report, "bad-archive",
			   "%.*s: member %.*s has %lu bytes, the manifest says %lu",
			   SLICE_ARG(m->name), SLICE_ARG(m->object), (uint64_t)ret_file->n,
			   m->size);
		return -EINVAL;
	}
	if (!hash)
		return 0;
	sha256(ret_file->p, ret_file->n, digest);
	if (memcmp(digest, m->sha256, sizeof(digest)) != 0) {
		report_add(report, "bad-hash",
			   "%.*s: the SHA-256 of member %.*s is not the manifest's",
			   SLICE_ARG(m->name), SLICE_ARG(m->object));
		return -EINVAL;
	}
	return 0;
}

static int check_manifest(const struct staged_cell *cell, struct loader_report *report)
{
	const struct manifest_cell *m = &cell->manifest;
	uint64_t state = cell->layout.bytes[LINK_STATE];
	int error = 0;

	if (m->sdk_abi != SDK_ABI) {
		report_add(report, "sdk-mismatch",
			   "%.*s: built with SDK ABI %u, this system has %u", SLICE_ARG(m->name),
			   m->sdk_abi, SDK_ABI);
		error = -EINVAL;
	}
	if (m->grants & ~(uint32_t)GATE_GRANT_ALL) {
		report_add(report, "bad-manifest",
			   "%.*s: asks for gate calls that do not exist (%lx)", SLICE_ARG(m->name),
			   (uint64_t)m->grants);
		error = -EINVAL;
	}
	if ((m->state_schema == 0) != (state == 0) || m->state_bytes != state) {
		report_add(report, "bad-manifest",
			   "%.*s: the object has %lu bytes of state, the manifest names %lu with "
			   "schema [%lx]",
			   SLICE_ARG(m->name), state, m->state_bytes, m->state_schema);
		error = -EINVAL;
	}
	return error;
}

int stage_open_cell(const struct archive *archive, bool hash, struct staged_cell *cell,
		    struct loader_report *report)
{
	struct slice file;
	size_t layout;
	int r;

	r = check_member(archive, hash, &cell->manifest, &file, report);
	if (r == 0)
		r = object_open(file, cell->manifest.name, &cell->object, report);
	if (r < 0)
		return r;
	layout = layout_arena_bytes(&cell->object);
	cell->arena = alloc_zeroed(layout + cell->object.n_symbols * sizeof(*cell->imports));
	if (!cell->arena)
		return -ENOMEM;
	cell->imports = (uint16_t *)(void *)((char *)cell->arena + layout);
	r = layout_create(&cell->object, cell->arena, &cell->layout, report);
	if (r == 0)
		r = check_manifest(cell, report);
	if (r == 0)
		r = record_create(&cell->manifest, &cell->object, &cell->layout, cell->imports,
				  &cell->new, report);
	return r;
}

static struct record *find_old(const struct namespace *ns, struct slice name)
{
	uint32_t index = namespace_find_cell(ns, name);

	return index == NAMESPACE_NONE ? NULL : ns->cells[index];
}

/* Opens all cells, so that all reasons are known. Result: 0, -EINVAL, -ENOMEM. */
static int open_cells(struct loader_stage *stage, const struct archive *archive,
		      const struct manifest *manifest, struct loader_report *report)
{
	struct manifest_cell m;
	uint64_t at = 0;
	int error = 0;

	stage->cells = alloc_zeroed(manifest->n_cells * sizeof(*stage->cells));
	if (!stage->cells)
		return -ENOMEM;
	while (manifest_next_cell(manifest, &at, &m)) {
		struct staged_cell *cell = &stage->cells[stage->n_cells];
		int r;

		cell->manifest = m;
		cell->old = find_old(stage->before, m.name);
		if (stage->boot && cell->old)
			continue; /* the seed linked it, and the loader adopted it */
		stage->n_cells++;
		r = stage_open_cell(archive, true, cell, report);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			error = r;
	}
	return error;
}

static int open_obsoletes(struct loader_stage *stage, const struct manifest *manifest,
			  struct loader_report *report)
{
	struct slice name;
	uint64_t at = 0;
	int error = 0;

	stage->gone = alloc_zeroed(manifest->n_obsoletes * sizeof(struct record *));
	if (!stage->gone)
		return -ENOMEM;
	while (manifest_next_obsolete(manifest, &at, &name)) {
		struct record *old = find_old(stage->before, name);
		bool comes_back = false, twice = false;

		for (uint32_t i = 0; i < stage->n_cells; i++)
			comes_back |= slice_equal(stage->cells[i].manifest.name, name);
		for (uint32_t i = 0; i < stage->n_gone; i++)
			twice |= stage->gone[i] == old;
		if (old && !comes_back && !twice) {
			stage->gone[stage->n_gone++] = old;
			continue;
		}
		report_add(report, "bad-manifest", "%.*s is to leave, but %s", SLICE_ARG(name),
			   !old    ? "is not there"
			   : twice ? "is named twice"
				   : "the same bundle brings it");
		error = -EPERM;
	}
	return error;
}

/* ---- checks against what runs ---- */

/*
 * A cell keeps its state or it is new. Providers of an interface may leave: who holds a
 * handle of theirs finds it stale. Grants may grow: loader_stage_change() shows it.
 */
static int check_states(const struct loader_stage *stage, struct loader_report *report)
{
	int error = 0;

	for (uint32_t i = 0; i < stage->n_cells; i++) {
		const struct record *new = stage->cells[i].new, *old = stage->cells[i].old;

		if (!old || (old->state_schema == new->state_schema &&
			     old->regions[LINK_STATE].bytes ==
				     LINK_PAGES(stage->cells[i].layout.bytes[LINK_STATE])))
			continue;
		report_add(report, "schema-mismatch",
			   "%s: state of %s is [%lx] %s; %s has [%lx] %s, and no migration",
			   new->name, old->version, old->state_schema, old->state_type,
			   new->version, new->state_schema, new->state_type);
		error = -EPERM;
	}
	return error;
}

/*
 * The cells of the generation to be: replaced ones in their place, new ones at the end. @ret has
 * room for those of before and of the bundle. Result: how many.
 */
static uint32_t list_after(const struct loader_stage *stage, struct record **ret)
{
	const struct namespace *before = stage->before;
	uint32_t n = 0;

	for (uint32_t i = 0; i < before->n_cells; i++)
		ret[i] = before->cells[i];
	for (uint32_t i = 0; i < stage->n_gone; i++)
		ret[namespace_index_of(before, stage->gone[i])] = NULL;
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		if (stage->cells[i].old)
			ret[namespace_index_of(before, stage->cells[i].old)] = stage->cells[i].new;
	}
	for (uint32_t i = 0; i < before->n_cells; i++) {
		if (ret[i])
			ret[n++] = ret[i];
	}
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		if (!stage->cells[i].old)
			ret[n++] = stage->cells[i].new;
	}
	return n;
}

static int check(struct loader_stage *stage, struct loader_report *report)
{
	uint32_t max = stage->before->n_cells + stage->n_cells;
	struct record **cells = alloc_zeroed(max * sizeof(*cells));
	int states = check_states(stage, report), r = -ENOMEM;
	uint64_t generation = stage->before->generation + !stage->boot;

	if (cells)
		r = namespace_create(cells, list_after(stage, cells), generation, &stage->after,
				     report);
	heap_free(cells);
	for (uint32_t i = 0; i < stage->n_cells; i++)
		stage->cells[i].new->generation = generation;
	return r < 0 ? r : states;
}

/* ---- placing: regions, slots, stubs ---- */

/* State of the same schema stays where it is; the new record borrows the region until commit. */
static void choose_regions(struct loader_stage *stage)
{
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		struct staged_cell *cell = &stage->cells[i];

		for (unsigned r = 0; r < LINK_REGIONS; r++)
			cell->new->regions[r].bytes = (uint32_t)LINK_PAGES(cell->layout.bytes[r]);
		if (cell->old)
			cell->new->regions[LINK_STATE] = cell->old->regions[LINK_STATE];
		else
			cell->new->keeps_state = true;
	}
}

static int map_regions(struct loader_stage *stage)
{
	struct record_region **regions =
		alloc_zeroed(stage->n_cells * LINK_REGIONS * sizeof(struct record_region *));
	uint32_t n = 0;
	int r;

	if (!regions)
		return -ENOMEM;
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		struct record *new = stage->cells[i].new;

		for (unsigned j = 0; j < LINK_REGIONS; j++) {
			if (j != LINK_STATE || new->keeps_state)
				regions[n++] = &new->regions[j];
		}
	}
	r = machine_map(regions, n);
	heap_free(regions);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < stage->n_cells; i++)
		record_place(stage->cells[i].new);
	return 0;
}

static int take_slot(struct loader_stage *stage, uint32_t cell, uint64_t ops, uint32_t *ret_slot)
{
	int r = slot_take(cell, ops, ret_slot);

	if (r == 0)
		stage->taken[stage->n_taken++] = (struct stage_taken){*ret_slot, 0};
	return r;
}

/* Slots of the old cell stay its successor's; others are taken now, unknown to anybody yet. */
static int take_slots(struct loader_stage *stage, struct record *new, const struct record *old)
{
	int r = 0;

	if (old)
		new->self = old->self;
	else
		r = take_slot(stage, 0, record_ops_addr(new), &new->self);
	for (uint32_t i = 0; i < new->n_provides &&r == 0; i++) {
		struct record_provide *p = &new->provides[i];
		const struct record_provide *same =
			old ? record_find_provide(old, p->interface, p->name) : NULL;

		if (p == record_ops_provide(new))
			p->slot = new->self;
		else if (same)
			p->slot = same->slot;
		else
			r = take_slot(stage, new->self, window_addr(p->at), &p->slot);
	}
	for (uint32_t i = 0; i < new->n_exports &&r == 0; i++) {
		struct record_export *e = &new->exports[i];
		const struct record_export *same = old ? record_find_export(old, e->name) : NULL;

		if (!e->blocking)
			continue;
		if (same && same->blocking) {
			e->slot = same->slot;
			e->stub_at = same->stub_at;
			continue;
		}
		r = take_slot(stage, new->self, window_addr(e->at), &e->slot);
		if (r == 0)
			r = stub_make(e->slot, e->signature, &e->stub_at);
		if (r == 0)
			stage->taken[stage->n_taken - 1].stub_at = e->stub_at;
	}
	return r;
}

static int take_all_slots(struct loader_stage *stage)
{
	uint32_t stubs = 0, slots = 0;
	int r;

	for (uint32_t i = 0; i < stage->n_cells; i++) {
		const struct record *new = stage->cells[i].new, *old = stage->cells[i].old;

		slots += 1 + new->n_provides;
		for (uint32_t j = 0; j < new->n_exports; j++) {
			const struct record_export *e = &new->exports[j];
			const struct record_export *same =
				old ? record_find_export(old, e->name) : NULL;

			stubs += e->blocking && !(same && same->blocking);
		}
	}
	stage->taken = alloc_zeroed((slots + stubs) * sizeof(*stage->taken));
	r = stage->taken ? stubs_reserve(stubs) : -ENOMEM;
	for (uint32_t i = 0; i < stage->n_cells && r == 0; i++)
		r = take_slots(stage, stage->cells[i].new, stage->cells[i].old);
	return r;
}

/* ---- linking and sealing ---- */

/* Where a restartable cell's first state is linked to when its region has another's by now. */
static int make_initial(struct record *new)
{
	uint32_t bytes = new->regions[LINK_STATE].bytes;

	if (new->restart != CELL_RESTART_ALWAYS || bytes == 0)
		return 0;
	new->initial = alloc_zeroed(bytes);
	return new->initial ? 0 : -ENOMEM;
}

/* Keeps what was linked; zeros need no copy. */
static void keep_initial(struct record *new)
{
	uint32_t bytes = new->regions[LINK_STATE].bytes, n = 0;

	if (!new->initial)
		return;
	if (new->keeps_state)
		memcpy(new->initial, machine_bytes(new->regions[LINK_STATE].at), bytes);
	while (n < bytes && new->initial[n] == 0)
		n++;
	if (n == bytes)
		heap_free(TAKE(new->initial));
}

static int link_cells(struct loader_stage *stage, struct loader_report *report)
{
	int error = 0;

	for (uint32_t i = 0; i < stage->n_cells; i++) {
		const struct staged_cell *cell = &stage->cells[i];
		struct link_memory memory[LINK_REGIONS];
		int r = make_initial(cell->new);

		for (unsigned j = 0; j < LINK_REGIONS; j++) {
			const struct record_region *region = &cell->new->regions[j];

			memory[j].addr = window_addr(region->at);
			memory[j].bytes = region->bytes ? machine_bytes(region->at) : NULL;
		}
		if (!cell->new->keeps_state)
			memory[LINK_STATE].bytes = cell->new->initial;
		if (r == 0)
			r = stage_link(cell, stage->after, memory, false, report);
		if (r == 0)
			keep_initial(cell->new);
		if (r == 0)
			r = record_read_fdes(cell->new, report);
		if (r < 0 && error != -ENOMEM)
			error = r;
		if (stage->boot)
			loader_mark("link", cell->new->name);
	}
	return error;
}

static int seal(struct loader_stage *stage)
{
	uint32_t max = stage->n_cells * 2 + 16, n = 0;
	struct gate_run *runs = alloc_zeroed(max * sizeof(*runs));
	int r;

	if (!runs)
		return -ENOMEM;
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		const struct record *new = stage->cells[i].new;
		const struct record_region *text = &new->regions[LINK_TEXT];
		const struct record_region *rodata = &new->regions[LINK_RODATA];

		if (text->bytes)
			runs[n++] = (struct gate_run){
				.va = window_addr(text->at),
				.pages = text->bytes / PAGE_SIZE,
				.flags = GATE_RUN_TEXT | GATE_RUN_GRANTS(new->grants),
			};
		if (rodata->bytes)
			runs[n++] = (struct gate_run){
				.va = window_addr(rodata->at),
				.pages = rodata->bytes / PAGE_SIZE,
				.flags = GATE_RUN_RODATA,
			};
	}
	n += stubs_seal_runs(runs + n, max - n - 1);
	if (stage->boot)
		n += slots_seal_runs(runs + n, max - n);
	r = machine_seal(runs, n);
	heap_free(runs);
	return r;
}

/* ---- the whole ---- */

static int build(struct loader_stage *stage, struct slice bundle, struct loader_report *report)
{
	struct manifest manifest;
	struct archive archive;
	struct slice bytes;
	int r, gone;

	r = archive_open(bundle, &archive, report);
	if (r < 0)
		return r;
	if (archive_find(&archive, slice_of("manifest.pb"), &bytes) < 0) {
		report_add(report, "bad-archive", "the bundle has no member manifest.pb");
		return -EINVAL;
	}
	r = manifest_open(bytes, &manifest, report);
	if (r < 0)
		return r;
	r = open_cells(stage, &archive, &manifest, report);
	if (r < 0)
		return r;
	gone = open_obsoletes(stage, &manifest, report);
	r = gone == -ENOMEM ? gone : check(stage, report);
	if (r < 0 || gone < 0)
		return r < 0 ? r : gone;
	if (stage->boot)
		loader_mark("check", "");
	choose_regions(stage);
	r = map_regions(stage);
	if (r == 0)
		r = take_all_slots(stage);
	if (r == -ENOSPC)
		report_add(report, "too-many-tables",
			   "%u slots for cells and tables are not enough", IFACE_SLOTS);
	if (stage->boot)
		loader_mark("map", "");
	if (r == 0)
		r = link_cells(stage, report);
	if (r == 0)
		r = seal(stage);
	if (r == 0)
		r = commit_prepare(stage, report);
	if (r == 0 && !stage->boot)
		r = finalise_check(stage, report);
	if (r == 0)
		namespace_settle(stage->after);
	if (stage->boot)
		loader_mark("seal", "");
	return r;
}

int stage_create(struct slice bundle, bool boot, struct loader_stage **ret_stage,
		 struct loader_report *report)
{
	struct loader_stage *stage = alloc_zeroed(sizeof(*stage));
	int r;

	if (!stage) {
		report_add(report, "no-memory", "not enough memory to stage the bundle");
		return -ENOMEM;
	}
	stage->boot = boot;
	stage->before = loader_state()->namespace;
	r = build(stage, bundle, report);
	for (uint32_t i = 0; stage->cells && i < stage->n_cells; i++)
		stage_close_cell(&stage->cells[i]);
	if (r < 0) {
		if (r == -ENOMEM)
			report_add(report, "no-memory", "not enough memory to stage the bundle");
		else if (report->n_reasons == 0)
			report_add(report, "gate",
				   "the gate or the slot table is against it: error %ld",
				   (int64_t)r);
		stage_destroy(stage);
		return r;
	}
	stage->state = STAGE_READY;
	*ret_stage = stage;
	return 0;
}

void stage_destroy(struct loader_stage *stage)
{
	while (stage->n_taken > 0) {
		struct stage_taken *t = &stage->taken[--stage->n_taken];

		if (t->stub_at)
			stub_give(t->stub_at);
		/* a slot that cannot be vacated is lost, never wrong: nobody knows it */
		(void)slot_give(t->slot);
	}
	for (uint32_t i = 0; i < stage->n_cells && stage->cells; i++) {
		struct record *new = stage->cells[i].new;

		if (new)
			machine_unmap(new->regions, new->keeps_state ? LINK_REGIONS : LINK_STATE);
		record_free(new);
	}
	namespace_free(stage->after);
	stage_free(stage);
}

void stage_free(struct loader_stage *stage)
{
	patch_list_free(&stage->patches);
	heap_free(stage->taken);
	heap_free(stage->gone);
	heap_free(stage->cells);
	heap_free(stage);
}
