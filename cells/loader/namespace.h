/* SPDX-License-Identifier: MIT */
/*
 * A generation: which cells are linked, and who uses what of whom. Immutable once built, so
 * that a commit is the exchange of one pointer and its undo the same.
 */
#ifndef THESEUS_LOADER_NAMESPACE_H
#define THESEUS_LOADER_NAMESPACE_H

#include "record.h"

#define LOADER_CELLS_MAX 128u
#define NAMESPACE_NONE UINT32_MAX

/* An export; exports are numbered through all cells, in link order. */
struct namespace_export {
	uint16_t cell, index; /* cells[cell]->exports[index] */
	uint32_t hash;
	uint32_t dependents; /* first link that uses it; NAMESPACE_NONE = none */
};

/* An import; imports are numbered through all cells, in link order. */
struct namespace_link {
	uint16_t cell, import; /* cells[cell]->imports[import] */
	uint32_t export;       /* number of what it is bound to; NAMESPACE_NONE = absent (weak) */
	uint32_t next;         /* next link to the same export */
};

struct namespace_range {
	uint32_t start, end; /* of a cell's text, as window offsets */
	uint32_t cell;
};

struct namespace
{
	uint64_t generation;
	uint32_t n_cells, n_exports, n_links, n_buckets;
	struct record
		*cells[LOADER_CELLS_MAX]; /* link order; owned by whoever built the namespace */
	uint32_t first_export[LOADER_CELLS_MAX], first_link[LOADER_CELLS_MAX];
	struct namespace_export *exports;
	struct namespace_link *links;
	uint32_t *buckets; /* open addressing: number of an export, or NAMESPACE_NONE */
	struct namespace_range ranges[LOADER_CELLS_MAX]; /* by start; see namespace_sort() */
	uint32_t n_ranges;
};

void namespace_free(struct namespace *ns);

/*
 * Builds the namespace of @cells (borrowed). Every export has one owner, every import an
 * export of the same ABI, every interface one ABI; otherwise reasons are reported.
 * Result: 0, -EPERM, -ENOMEM.
 */
int namespace_create(struct record *const *cells, uint32_t n_cells, uint64_t generation,
		     struct namespace **ret_ns, struct loader_report *report);

/* Fills the sorted table of text, when all regions are placed. */
void namespace_sort(struct namespace *ns);

/* Number of the export called @name, or NAMESPACE_NONE. */
uint32_t namespace_find(const struct namespace *ns, struct slice name);

/* Index of a cell, or NAMESPACE_NONE. */
uint32_t namespace_find_cell(const struct namespace *ns, const char *name);
uint32_t namespace_index_of(const struct namespace *ns, const struct record *r);

/* Marks the cells that are linked to one of @index's exports, or look up an interface of it. */
void namespace_dependents(const struct namespace *ns, uint32_t index,
			  bool depends[LOADER_CELLS_MAX]);

/* Cell whose text covers @at, or NULL. No lock, no allocation. */
const struct record *namespace_locate(const struct namespace *ns, uint32_t at);

static inline const struct record_export *namespace_export(const struct namespace *ns,
							   uint32_t number)
{
	const struct namespace_export *e = &ns->exports[number];

	return &ns->cells[e->cell]->exports[e->index];
}

#endif
