/* SPDX-License-Identifier: MIT */
/* Which names an object may refer to: what its manifest imports, and its own slots. */
#include <theseus/errno.h>

#include "stage.h"

struct scope {
	const struct staged_cell *cell;
	const struct namespace *ns;
	struct loader_report *report;
	uint32_t index; /* of the cell, in ns */
};

static uint64_t slot_addr(uint32_t slot)
{
	return IFACE_TABLE + slot * sizeof(struct iface_slot);
}

/* `__slot_cell_self`, or `__slot_INTERFACE__NAME` of an own table. */
static bool find_slot(const struct record *r, struct slice name, uint64_t *ret_addr)
{
	char symbol[CELL_SYMBOL_MAX * 2];

	if (slice_is(name, "__slot_cell_self")) {
		*ret_addr = slot_addr(r->self);
		return true;
	}
	for (uint32_t i = 0; i < r->n_provides; i++) {
		(void)report_format(symbol, sizeof(symbol), "__slot_%s__%s",
				    r->provides[i].interface, r->provides[i].name);
		if (slice_is(name, symbol)) {
			*ret_addr = slot_addr(r->provides[i].slot);
			return true;
		}
	}
	return false;
}

static int resolve(void *ctx, uint32_t index, struct slice name, uint64_t *ret_addr)
{
	const struct scope *s = ctx;
	uint32_t import = s->cell->imports[index], number;

	if (import == STAGED_NO_IMPORT && slice_starts(name, "__slot_"))
		return find_slot(s->cell->new, name, ret_addr) ? 0 : -ENOENT;
	if (import == STAGED_NO_IMPORT && namespace_find(s->ns, name) != NAMESPACE_NONE) {
		report_add(s->report, "undeclared-import",
			   "%s: uses %.*s, which its manifest does not name", s->cell->new->name,
			   SLICE_ARG(name));
		return -EINVAL;
	}
	if (import == STAGED_NO_IMPORT)
		return -ENOENT;
	number = namespace_bound(s->ns, s->index, import);
	if (number == NAMESPACE_NONE)
		return -ENOENT;
	*ret_addr = record_export_addr(namespace_export(s->ns, number));
	return 0;
}

static int note_site(void *ctx, const struct link_site *site)
{
	const struct scope *s = ctx;
	uint32_t import = s->cell->imports[site->symbol];
	struct record *record = s->cell->new;

	if (import == STAGED_NO_IMPORT)
		return 0; /* a slot: it never moves */
	if (record_add_site(record, site, import) == 0)
		return 0;
	report_add(s->report, "relocation-range", "%s: a reference to %s is too far off its start",
		   record->name, record->imports[import].name);
	return -EINVAL;
}

int stage_link(const struct staged_cell *cell, const struct namespace *ns,
	       const struct link_memory memory[LINK_REGIONS], bool verify,
	       struct loader_report *report)
{
	struct scope scope = {cell, ns, report, namespace_index_of(ns, cell->new)};
	struct link_names names = {verify, resolve, note_site, &scope};

	if (!verify)
		link_copy(&cell->object, &cell->layout, memory);
	return link_relocate(&cell->object, &cell->layout, memory, &names, report);
}
