/* SPDX-License-Identifier: MIT */
/*
 * Order: check that the gate answers; map the boot bundle; verify and lay out the first
 * cells; map all their pages with one call; link; seal with one call; call their inits;
 * leave for loader_start() on a stack outside this image, which the loader then frees.
 */
#include "seed.h"

#include <theseus/gate-call.h>

_Noreturn void seed_start(void);

static struct seed_object objects[SEED_CELLS_MAX];

static uint64_t pages_of(uint64_t bytes)
{
	return (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

static void mark(struct seed_handoff *handoff, const char *name)
{
	struct seed_mark *m = &handoff->marks[handoff->n_marks++];

	(void)report_format(m->name, sizeof(m->name), "%s", name);
	m->tsc = __builtin_ia32_rdtsc();
}

/* One call that must work and one that must not: `int3` reaches the gate on this host. */
static void self_test(void)
{
	struct gate_run none = {0};
	int64_t state = gate_frame_state(boot_record()->seed_phys);

	if (state < 0 || state >= _GATE_FRAME_STATE_MAX)
		seed_die("gate", "the gate's self-test: GATE_FRAME_STATE of the seed is %ld",
			 state);
	if (gate_map(&none, 1) >= 0)
		seed_die("gate", "the gate's self-test: it maps a run of no pages");
}

static struct slice map_bundle(struct seed_handoff *handoff)
{
	const struct boot_record *r = boot_record();
	struct gate_run run = {
		.va = handoff->dynamic_next,
		.pa = r->bundle.start,
		.pages = (uint32_t)((r->bundle.end - r->bundle.start) / PAGE_SIZE),
	};

	if (r->bundle_size == 0)
		seed_die("bad-archive",
			 "no boot bundle was given (-initrd, or the VMM's --bundle)");
	seed_map(&run, 1);
	handoff->bundle_pages_va = run.va;
	handoff->bundle_pages = run.pages;
	handoff->bundle = run.va + r->bundle_offset;
	handoff->bundle_size = r->bundle_size;
	/* a page between this and what follows stays unmapped */
	handoff->dynamic_next += (uint64_t)(run.pages + 1) * PAGE_SIZE;
	return (struct slice){(const uint8_t *)(uintptr_t)handoff->bundle, handoff->bundle_size};
}

/* Decides where the cells go: one after the other from the window's start. */
static void place_cells(unsigned n, struct seed_handoff *handoff)
{
	for (unsigned i = 0; i < n; i++) {
		struct seed_object *o = &objects[i];
		struct seed_cell *c = &handoff->cells[i];

		for (unsigned r = 0; r < LINK_REGIONS; r++) {
			o->memory[r].addr = handoff->window_next;
			o->memory[r].bytes = (uint8_t *)(uintptr_t)handoff->window_next;
			handoff->window_next += LINK_PAGES(o->layout.bytes[r]);
		}
		(void)report_format(c->name, sizeof(c->name), "%.*s", SLICE_ARG(o->manifest.name));
		c->text = o->memory[LINK_TEXT].addr;
		c->text_bytes = LINK_PAGES(o->layout.bytes[LINK_TEXT]);
		c->rodata = o->memory[LINK_RODATA].addr;
		c->rodata_bytes = LINK_PAGES(o->layout.bytes[LINK_RODATA]);
		c->state = o->memory[LINK_STATE].addr;
		c->state_bytes = LINK_PAGES(o->layout.bytes[LINK_STATE]);
	}
	handoff->n_cells = n;
}

/* Cells, the first page of the slot table and the stack: three runs, one call. */
static void map_cells(struct seed_handoff *handoff)
{
	uint64_t pages = (handoff->window_next - GATE_CELL_WINDOW) / PAGE_SIZE;
	struct gate_run runs[3] = {
		{.va = GATE_CELL_WINDOW, .pages = (uint32_t)pages, .flags = GATE_RUN_WRITE},
		{.va = IFACE_TABLE, .pages = 1, .flags = GATE_RUN_WRITE},
		{.va = handoff->dynamic_next, .pages = SEED_STACK_PAGES, .flags = GATE_RUN_WRITE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(runs); i++)
		runs[i].pa = seed_frames(handoff, runs[i].pages);
	seed_map(runs, ARRAY_SIZE(runs));
	handoff->slots_va = IFACE_TABLE;
	handoff->slots_pages = 1;
	memset((void *)(uintptr_t)IFACE_TABLE, 0, PAGE_SIZE);
	handoff->stack = runs[2].va;
	handoff->stack_bytes = SEED_STACK_PAGES * PAGE_SIZE;
	handoff->dynamic_next += handoff->stack_bytes + PAGE_SIZE;
}

static void seal_cells(unsigned n)
{
	struct gate_run runs[2 * SEED_CELLS_MAX];
	unsigned n_runs = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct seed_object *o = &objects[i];
		uint32_t flags[2] = {GATE_RUN_TEXT |
					     GATE_RUN_GRANTS(o->manifest.grants & GATE_GRANT_ALL),
				     GATE_RUN_RODATA};

		for (unsigned r = LINK_TEXT; r <= LINK_RODATA; r++) {
			if (o->layout.bytes[r])
				runs[n_runs++] = (struct gate_run){
					.va = o->memory[r].addr,
					.pages = (uint32_t)pages_of(o->layout.bytes[r]),
					.flags = flags[r],
				};
		}
	}
	seed_seal(runs, n_runs);
}

static void init_cells(unsigned n, const struct cell_boot *boot, struct seed_handoff *handoff)
{
	for (unsigned i = 0; i < n; i++) {
		const struct cell_ops *ops = objects[i].ops;
		char name[sizeof(handoff->marks[0].name)];
		int r = ops && ops->init ? ops->init(boot) : 0;

		if (r < 0)
			seed_die("init", "%.*s: init failed: %ld",
				 SLICE_ARG(objects[i].manifest.name), (int64_t)r);
		(void)report_format(name, sizeof(name), "init %.*s",
				    SLICE_ARG(objects[i].manifest.name));
		mark(handoff, name);
	}
}

/* Calls loader_start(boot) with the stack that begins below @top. */
static _Noreturn void leave(uint64_t entry, const struct cell_boot *boot, uint64_t top)
{
	__asm__ volatile("mov %2, %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%0\n\t"
			 "ud2"
			 :
			 : "r"(entry), "D"(boot), "r"(top)
			 : "memory");
	__builtin_unreachable();
}

void seed_start(void)
{
	static struct seed_handoff h = {
		.version = 1,
		.window_next = GATE_CELL_WINDOW,
		.dynamic_next = GATE_DYNAMIC,
	};
	struct {
		struct cell_boot boot;
		struct seed_handoff handoff;
	} * top;
	unsigned n;

	mark(&h, "gate");
	h.marks[0].tsc = boot_record()->tsc_cells;
	self_test();
	for (const struct gate_range *r = boot_record()->free;
	     h.n_free < GATE_BOOT_RANGES && r->end > r->start; r++)
		h.free[h.n_free++] = *r;
	n = seed_open_cells(map_bundle(&h), objects);
	place_cells(n, &h);
	mark(&h, "seed: verified");
	map_cells(&h);
	seed_link_cells(objects, n, &h);
	seal_cells(n);
	mark(&h, "seed: linked");

	/* what the cells keep looking at must outlive this image */
	top = (void *)(uintptr_t)(h.stack + h.stack_bytes - ((sizeof(*top) + 63) & ~(size_t)63));
	top->boot = (struct cell_boot){boot_record(), &top->handoff};
	top->handoff = h;
	init_cells(n, &top->boot, &top->handoff);
	leave(seed_export("loader_start"), &top->boot, (uint64_t)(uintptr_t)top);
}
