/* SPDX-License-Identifier: MIT */
/*
 * From the seed's hand-over to generation 0: adopts the cells that the seed linked, stages
 * the rest of the boot bundle as one transaction, calls their inits, frees the seed.
 */
#include <theseus/errno.h>
#include <theseus/frames.h>
#include <theseus/gate-call.h>
#include <theseus/handoff.h>
#include <theseus/unwind.h>

#include "stage.h"
#include "state.h"

extern const struct iface_slot __slot_unwind_tables_ops__loader; /* unwind.c */

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
	(void)commit_finalise(stage);
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
	struct loader_report report = {0};
	struct boot_ops_h next;
	char name[CELL_NAME_MAX];

	for (uint32_t i = 0; i < seed->n_marks && s->n_marks < LOADER_MARKS_MAX; i++) {
		memcpy(s->marks[s->n_marks].name, seed->marks[i].name, LOADER_MARK_NAME);
		s->marks[s->n_marks++].tsc = seed->marks[i].tsc;
	}
	if (adopt_cells(seed, bundle, &report) < 0)
		die("adopting the seed's cells", &report);
	unwind_attach(IFACE(unwind_tables_ops, loader));
	loader_mark("adopt", "");
	load_rest(&later, bundle);
	free_seed();
	loader_mark("linked", "");
	ops = iface_at("boot_ops", 0, name, &next.h) < 0 ? NULL : boot_ops_get(next);
	if (!ops)
		die_with("starting", "no cell provides boot_ops", -ENOENT);
	ops->start(&later, seed->stack, seed->stack_bytes);
	die_with("starting", name, 0);
}
