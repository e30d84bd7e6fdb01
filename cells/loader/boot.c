/* SPDX-License-Identifier: MIT */
/*
 * From the seed's hand-over to generation 0: adopts the cells that the seed linked, stages
 * the rest of the boot bundle as one transaction, calls their inits, frees the seed.
 */
#include <theseus/errno.h>
#include <theseus/frames.h>
#include <theseus/gate-call.h>
#include <theseus/handoff.h>
#include <theseus/heap.h>

#include "stage.h"
#include "state.h"

_Static_assert(sizeof(((struct seed_mark *)0)->name) == LOADER_MARK_NAME, "handoff.h");

static __attribute__((noreturn)) void die(const char *what, const struct loader_report *report)
{
	char text[LOADER_REASON_BYTES + 80];

	(void)report_format(text, sizeof(text), "loader: %s: %s", what,
			    report->n_reasons ? report->reasons[0] : "no reason given");
	gate_crash(text);
}

static __attribute__((noreturn)) void die_with(const char *what, const char *cell, int64_t error)
{
	struct loader_report report = {0};

	report_add(&report, "boot", "%s: error %ld", cell, error);
	die(what, &report);
}

void loader_mark(const char *what, const char *cell)
{
	struct loader_state *s = loader_state();
	struct loader_mark *m;

	if (s->n_marks == LOADER_MARKS_MAX)
		return;
	m = &s->marks[s->n_marks++];
	(void)report_format(m->name, sizeof(m->name), "%s%s%s", what, *cell ? " " : "", cell);
	m->tsc = __builtin_ia32_rdtsc();
}

/* ---- adoption ---- */

static const struct seed_cell *find_seed_cell(const struct seed_handoff *seed, struct slice name)
{
	for (uint32_t i = 0; i < seed->n_cells; i++) {
		if (slice_is(name, seed->cells[i].name))
			return &seed->cells[i];
	}
	return NULL;
}

/* The cell's slots as the seed filled them: found by owner and table. */
static int adopt_slots(struct record *r, const struct seed_handoff *seed, uint32_t self)
{
	r->self = self;
	for (uint32_t i = 0; i < r->n_provides; i++) {
		struct record_provide *p = &r->provides[i];

		p->slot = p == record_ops_provide(r) ? self : 0;
		for (uint32_t j = seed->n_cells + 1; j < seed->slots_used && p->slot == 0; j++) {
			if ((uint64_t)(uintptr_t)slot_read(j).ops == window_addr(p->at))
				p->slot = j;
		}
		if (p->slot == 0 || slot_read(p->slot).cell != self)
			return -ENOENT;
	}
	return 0;
}

static int adopt_regions(struct record *r, const struct seed_cell *c)
{
	const uint64_t at[] = {c->text, c->rodata, c->state};
	const uint64_t bytes[] = {c->text_bytes, c->rodata_bytes, c->state_bytes};
	int e = 0;

	for (unsigned i = 0; i < LINK_REGIONS && e == 0; i++) {
		r->regions[i].at = window_at(at[i]);
		r->regions[i].bytes = (uint32_t)bytes[i];
		e = machine_adopt(&r->regions[i]);
	}
	r->keeps_state = true;
	record_place(r);
	return e;
}

int adopt_verify(const struct staged_cell *cell, const struct namespace *ns,
		 struct loader_report *report)
{
	struct link_memory memory[LINK_REGIONS] = {0};
	int r = 0;

	for (unsigned i = 0; i < LINK_REGIONS; i++) {
		memory[i].addr = window_addr(cell->new->regions[i].at);
		if (i == LINK_STATE || cell->new->regions[i].bytes == 0)
			continue;
		memory[i].bytes = heap_alloc(CELL_SELF, cell->new->regions[i].bytes);
		if (!memory[i].bytes)
			r = -ENOMEM;
	}
	if (r == 0)
		r = stage_link(cell, ns, memory, report);
	for (unsigned i = 0; i < LINK_REGIONS; i++) {
		const struct record_region *region = &cell->new->regions[i];

		if (r == 0 && memory[i].bytes &&
		    memcmp(memory[i].bytes, machine_bytes(region->at), region->bytes) != 0) {
			report_add(report, "bad-seed", "%s: its %s is not what its object says",
				   cell->new->name, i == LINK_TEXT ? "text" : "rodata");
			r = -EINVAL;
		}
		heap_free(memory[i].bytes);
	}
	return r;
}

static void adopt(const struct seed_handoff *seed, struct slice bundle)
{
	static const char what[] = "adopting the seed's cells";
	struct loader_state *s = loader_state();
	struct staged_cell cells[SEED_CELLS_MAX] = {0};
	struct record *records[SEED_CELLS_MAX];
	struct loader_report report = {0};
	struct manifest manifest;
	struct archive archive;
	struct manifest_cell m;
	struct slice bytes;
	uint64_t at = 0;

	if (archive_open(bundle, &archive, &report) < 0 ||
	    archive_find(&archive, slice_of("manifest.pb"), &bytes) < 0 ||
	    manifest_open(bytes, &manifest, &report) < 0)
		die(what, &report);
	while (manifest_next_cell(&manifest, &at, &m)) {
		const struct seed_cell *c = find_seed_cell(seed, m.name);
		uint32_t i = (uint32_t)(c - seed->cells);
		int r;

		if (!c)
			continue;
		cells[i].manifest = m;
		/* the seed has checked the hash */
		if (stage_open_cell(&archive, false, &cells[i], &report) < 0)
			die(what, &report);
		r = adopt_regions(cells[i].new, c);
		if (r == 0)
			r = adopt_slots(cells[i].new, seed, i + 1);
		if (r < 0)
			die_with(what, c->name, r);
		records[i] = cells[i].new;
	}
	if (namespace_create(records, seed->n_cells, 0, &s->namespace, &report) < 0)
		die(what, &report);
	for (uint32_t i = 0; i < seed->n_cells; i++) {
		if (adopt_verify(&cells[i], s->namespace, &report) < 0)
			die(what, &report);
		stage_close_cell(&cells[i]);
	}
	namespace_sort(s->namespace);
}

/* ---- the rest of the bundle ---- */

static void load_rest(const struct cell_boot *boot, struct slice bundle)
{
	struct loader_report report = {0};
	struct loader_stage *stage;

	if (stage_create(bundle, true, &stage, &report) < 0)
		die("linking the boot bundle", &report);
	if (commit_apply(stage) < 0)
		die("linking the boot bundle", &report);
	for (uint32_t i = 0; i < stage->n_cells; i++) {
		const struct record *r = stage->cells[i].new;
		const struct cell_ops *ops = record_ops(r);
		int e = ops && ops->init ? ops->init(boot) : 0;

		if (e < 0)
			die_with("init", r->name, e);
		loader_mark("init", r->name);
	}
	(void)commit_finalise(stage, false);
}

static void free_seed(void)
{
	struct gate_run run;
	struct frame_run frames;
	int64_t r = gate_seed_done(&run);

	if (r < 0)
		die_with("freeing the seed", "GATE_SEED_DONE", r);
	frames = (struct frame_run){{run.pa}, run.pages};
	r = frames_add(frames);
	if (r < 0)
		die_with("freeing the seed", "frames_add", r);
}

void loader_start(const struct cell_boot *boot)
{
	const struct seed_handoff *seed = boot->seed;
	struct slice bundle = {(const uint8_t *)(uintptr_t)seed->bundle, seed->bundle_size};
	struct cell_boot later = {boot->record, NULL};
	struct loader_state *s = loader_state();
	const struct boot_ops *ops;
	struct boot_ops_h next;
	char name[CELL_NAME_MAX];

	for (uint32_t i = 0; i < seed->n_marks && s->n_marks < LOADER_MARKS_MAX; i++) {
		memcpy(s->marks[s->n_marks].name, seed->marks[i].name, LOADER_MARK_NAME);
		s->marks[s->n_marks++].tsc = seed->marks[i].tsc;
	}
	s->slot_pages = (uint32_t)seed->slots_pages;
	adopt(seed, bundle);
	loader_mark("adopt", "");
	load_rest(&later, bundle);
	free_seed();
	loader_mark("linked", "");
	if (iface_at("boot_ops", 0, name, &next.h) < 0)
		die_with("starting", "no cell provides boot_ops", -ENOENT);
	ops = boot_ops_get(next);
	ops->start(&later, seed->stack, seed->stack_bytes);
	die_with("starting", name, 0);
}
