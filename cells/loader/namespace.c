/* SPDX-License-Identifier: MIT */
#include "namespace.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

void namespace_free(struct namespace *ns)
{
	if (!ns)
		return;
	heap_free(ns->exports);
	heap_free(ns->links);
	heap_free(ns->buckets);
	heap_free(ns);
}

static void namespace_drop(struct namespace **ns)
{
	namespace_free(*ns);
}

/* FNV-1a: names are short, and an attacker gains only a slow look-up of his own bundle. */
static uint32_t hash_name(struct slice name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * 16777619u;
	return h;
}

static uint32_t find_hashed(const struct namespace *ns, struct slice name, uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		uint32_t number = ns->buckets[i & (ns->n_buckets - 1)];

		if (number == NAMESPACE_NONE)
			return NAMESPACE_NONE;
		if (ns->exports[number].hash == hash &&
		    slice_is(name, namespace_export(ns, number)->name))
			return number;
	}
}

uint32_t namespace_find(const struct namespace *ns, struct slice name)
{
	return find_hashed(ns, name, hash_name(name));
}

static void insert(struct namespace *ns, uint32_t number)
{
	uint32_t i = ns->exports[number].hash;

	while (ns->buckets[i & (ns->n_buckets - 1)] != NAMESPACE_NONE)
		i++;
	ns->buckets[i & (ns->n_buckets - 1)] = number;
}

uint32_t namespace_find_cell(const struct namespace *ns, const char *name)
{
	for (uint32_t i = 0; i < ns->n_cells; i++) {
		if (strcmp(ns->cells[i]->name, name) == 0)
			return i;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_index_of(const struct namespace *ns, const struct record *r)
{
	for (uint32_t i = 0; i < ns->n_cells; i++) {
		if (ns->cells[i] == r)
			return i;
	}
	return NAMESPACE_NONE;
}

static void add_exports(struct namespace *ns, uint32_t cell, struct loader_report *report)
{
	const struct record *r = ns->cells[cell];

	ns->first_export[cell] = ns->n_exports;
	for (uint32_t i = 0; i < r->n_exports; i++) {
		struct slice name = slice_of(r->exports[i].name);
		uint32_t hash = hash_name(name), other = find_hashed(ns, name, hash);

		ns->exports[ns->n_exports] = (struct namespace_export){(uint16_t)cell, (uint16_t)i,
								       hash, NAMESPACE_NONE};
		if (other == NAMESPACE_NONE)
			insert(ns, ns->n_exports);
		else
			report_add(report, "duplicate-symbol", "%s: %s is exported by %s already",
				   r->name, r->exports[i].name,
				   ns->cells[ns->exports[other].cell]->name);
		ns->n_exports++;
	}
}

static void check_abi(const struct namespace *ns, const struct record *r,
		      const struct record_import *import, const struct namespace_export *e,
		      struct loader_report *report)
{
	const struct record *owner = ns->cells[e->cell];
	const struct record_export *export = &owner->exports[e->index];

	if (import->abi != export->abi)
		report_add(report, "abi-mismatch",
			   "%s: %s was built for another type [%lx]; %s of %s has %s [%lx]",
			   export->name, r->name, import->abi, export->name, owner->name,
			   export->signature, export->abi);
}

static void add_links(struct namespace *ns, uint32_t cell, struct loader_report *report)
{
	const struct record *r = ns->cells[cell];

	ns->first_link[cell] = ns->n_links;
	for (uint32_t i = 0; i < r->n_imports; i++) {
		const struct record_import *import = &r->imports[i];
		uint32_t number = namespace_find(ns, slice_of(import->name));
		struct namespace_link *link = &ns->links[ns->n_links];

		*link = (struct namespace_link){(uint16_t)cell, (uint16_t)i, number,
						NAMESPACE_NONE};
		if (number != NAMESPACE_NONE) {
			link->next = ns->exports[number].dependents;
			ns->exports[number].dependents = ns->n_links;
			check_abi(ns, r, import, &ns->exports[number], report);
		} else if (!import->weak) {
			report_add(report, "missing-symbol",
				   "%s: nobody exports %s, which it imports", r->name,
				   import->name);
		}
		ns->n_links++;
	}
}

/* An interface has one type for all who provide it. */
static void check_interfaces(const struct namespace *ns, struct loader_report *report)
{
	for (uint32_t c = 0; c < ns->n_cells; c++) {
		const struct record *r = ns->cells[c];

		for (uint32_t i = 0; i < r->n_provides; i++) {
			const struct record *first = NULL;
			uint64_t abi = 0;

			for (uint32_t d = 0; d < c && !first; d++) {
				for (uint32_t j = 0; j < ns->cells[d]->n_provides && !first; j++) {
					if (strcmp(ns->cells[d]->provides[j].interface,
						   r->provides[i].interface) == 0) {
						first = ns->cells[d];
						abi = first->provides[j].abi;
					}
				}
			}
			if (first && abi != r->provides[i].abi)
				report_add(report, "abi-mismatch",
					   "%s: %s has struct %s as [%lx], %s has it as [%lx]",
					   r->provides[i].interface, r->name,
					   r->provides[i].interface, r->provides[i].abi,
					   first->name, abi);
		}
	}
}

static int alloc_tables(struct namespace *ns)
{
	uint32_t exports = 0, links = 0;

	for (uint32_t i = 0; i < ns->n_cells; i++) {
		exports += ns->cells[i]->n_exports;
		links += ns->cells[i]->n_imports;
	}
	for (ns->n_buckets = 64; ns->n_buckets < 2 * exports;)
		ns->n_buckets *= 2;
	ns->exports = heap_alloc(CELL_SELF, exports * sizeof(*ns->exports) + 1);
	ns->links = heap_alloc(CELL_SELF, links * sizeof(*ns->links) + 1);
	ns->buckets = heap_alloc(CELL_SELF, ns->n_buckets * sizeof(*ns->buckets));
	if (!ns->exports || !ns->links || !ns->buckets)
		return -ENOMEM;
	memset(ns->buckets, 0xff, ns->n_buckets * sizeof(*ns->buckets));
	return 0;
}

int namespace_create(struct record *const *cells, uint32_t n_cells, uint64_t generation,
		     struct namespace **ret_ns, struct loader_report *report)
{
	struct namespace *ns OWNED(namespace_drop) = NULL;
	uint32_t reasons = report->n_reasons;

	if (n_cells > LOADER_CELLS_MAX) {
		report_add(report, "too-many-cells", "%u cells; %u are allowed", n_cells,
			   LOADER_CELLS_MAX);
		return -EPERM;
	}
	ns = heap_alloc(CELL_SELF, sizeof(*ns));
	if (!ns)
		return -ENOMEM;
	memset(ns, 0, sizeof(*ns));
	ns->generation = generation;
	ns->n_cells = n_cells;
	for (uint32_t i = 0; i < n_cells; i++)
		ns->cells[i] = cells[i];
	if (alloc_tables(ns) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n_cells; i++)
		add_exports(ns, i, report);
	for (uint32_t i = 0; i < n_cells; i++)
		add_links(ns, i, report);
	check_interfaces(ns, report);
	if (report->n_reasons != reasons)
		return -EPERM;
	*ret_ns = TAKE(ns);
	return 0;
}

void namespace_sort(struct namespace *ns)
{
	ns->n_ranges = 0;
	for (uint32_t i = 0; i < ns->n_cells; i++) {
		const struct record_region *text = &ns->cells[i]->regions[LINK_TEXT];
		uint32_t at = ns->n_ranges;

		if (text->bytes == 0)
			continue;
		for (; at > 0 && ns->ranges[at - 1].start > text->at; at--)
			ns->ranges[at] = ns->ranges[at - 1];
		ns->ranges[at] = (struct namespace_range){text->at, text->at + text->bytes, i};
		ns->n_ranges++;
	}
}

const struct record *namespace_locate(const struct namespace *ns, uint32_t at)
{
	uint32_t low = 0, high = ns->n_ranges;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (ns->ranges[mid].end <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == ns->n_ranges || ns->ranges[low].start > at)
		return NULL;
	return ns->cells[ns->ranges[low].cell];
}

static bool provides(const struct record *r, const char *interface)
{
	for (uint32_t i = 0; i < r->n_provides; i++) {
		if (strcmp(r->provides[i].interface, interface) == 0)
			return true;
	}
	return false;
}

void namespace_dependents(const struct namespace *ns, uint32_t index,
			  bool depends[LOADER_CELLS_MAX])
{
	const struct record *r = ns->cells[index];

	for (uint32_t i = 0; i < r->n_exports; i++) {
		uint32_t link = ns->exports[ns->first_export[index] + i].dependents;

		for (; link != NAMESPACE_NONE; link = ns->links[link].next)
			depends[ns->links[link].cell] = true;
	}
	for (uint32_t user = 0; user < ns->n_cells; user++) {
		for (uint32_t i = 0; i < ns->cells[user]->n_consumes; i++)
			depends[user] |= provides(r, ns->cells[user]->consumes[i]);
	}
	depends[index] = false;
}
