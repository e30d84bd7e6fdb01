/* SPDX-License-Identifier: MIT */
/* Makes records of what the seed linked, from the objects it linked and where it put them. */
#include <theseus/errno.h>
#include <theseus/handoff.h>

#include "stage.h"
#include "state.h"

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

/* Relocates once more, without writing: that finds the sites, and proves memory right. */
static int verify(const struct staged_cell *cell, const struct namespace *ns,
		  struct loader_report *report)
{
	struct link_memory memory[LINK_REGIONS];

	for (unsigned i = 0; i < LINK_REGIONS; i++) {
		const struct record_region *region = &cell->new->regions[i];

		memory[i].addr = window_addr(region->at);
		memory[i].bytes =
			region->bytes && i != LINK_STATE ? machine_bytes(region->at) : NULL;
	}
	return stage_link(cell, ns, memory, true, report);
}

static int adopt_cell(const struct archive *archive, const struct seed_handoff *seed,
		      const struct seed_cell *c, struct staged_cell *cell,
		      struct loader_report *report)
{
	/* the seed has checked the hash */
	int r = stage_open_cell(archive, false, cell, report);

	if (r == 0)
		cell->new->restart = CELL_RESTART_NEVER; /* what its state was is not known */
	if (r == 0)
		r = adopt_regions(cell->new, c);
	if (r == 0)
		r = adopt_slots(cell->new, seed, (uint32_t)(c - seed->cells) + 1);
	if (r < 0)
		report_add(report, "bad-seed", "%s: not as the seed says it left it: error %ld",
			   c->name, (int64_t)r);
	return r;
}

static int adopt_all(const struct seed_handoff *seed, struct slice bundle,
		     struct staged_cell cells[SEED_CELLS_MAX], struct loader_report *report)
{
	struct record *records[SEED_CELLS_MAX];
	struct manifest manifest;
	struct archive archive;
	struct manifest_cell m;
	struct slice bytes;
	uint32_t n = 0;
	uint64_t at = 0;
	int r;

	if (archive_open(bundle, &archive, report) < 0 ||
	    archive_find(&archive, slice_of("manifest.pb"), &bytes) < 0 ||
	    manifest_open(bytes, &manifest, report) < 0)
		return -EINVAL;
	while (manifest_next_cell(&manifest, &at, &m)) {
		const struct seed_cell *c = find_seed_cell(seed, m.name);
		uint32_t i = (uint32_t)(c - seed->cells);

		if (!c)
			continue;
		cells[i].manifest = m;
		r = adopt_cell(&archive, seed, c, &cells[i], report);
		if (r < 0)
			return r;
		records[i] = cells[i].new;
		n++;
	}
	if (n != seed->n_cells) {
		report_add(report, "bad-seed", "the boot bundle has %u of the seed's %u cells", n,
			   seed->n_cells);
		return -EINVAL;
	}
	r = namespace_create(records, n, 0, &loader_state()->namespace, report);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = verify(&cells[i], loader_state()->namespace, report);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = record_read_fdes(records[i], report);
	return r;
}

int adopt_cells(const struct seed_handoff *seed, struct slice bundle, struct loader_report *report)
{
	struct staged_cell cells[SEED_CELLS_MAX] = {0};
	int r;

	if (seed->n_cells > SEED_CELLS_MAX)
		return -EINVAL;
	loader_state()->slot_pages = (uint32_t)seed->slots_pages;
	r = adopt_all(seed, bundle, cells, report);
	for (uint32_t i = 0; i < seed->n_cells; i++)
		stage_close_cell(&cells[i]);
	if (r == 0)
		namespace_settle(loader_state()->namespace);
	return r;
}
