/* SPDX-License-Identifier: MIT */
/*
 * A generation: which cells are linked, and who uses what of whom. Immutable once built, so
 * that a commit is the exchange of one pointer and its undo the same.
 *
 * Its tables are as large as what there is. Building one takes time for each cell, export,
 * import and dependency; what is looked up in it afterwards is found without a walk through
 * cells: by hash, by number, or, an address, by bisection.
 */
#ifndef THESEUS_LOADER_NAMESPACE_H
#define THESEUS_LOADER_NAMESPACE_H

#include "index.h"
#include "record.h"

#define LOADER_CELLS_MAX 16384u
#define NAMESPACE_NONE INDEX_NONE

/* An export; exports are numbered through all cells, in link order. */
struct namespace_export {
	uint16_t cell, index; /* cells[cell]->exports[index] */
	uint32_t hash;
};
_Static_assert(LOADER_CELLS_MAX <= UINT16_MAX, "cells are named by 16 bits");

/* A table; tables are numbered through all cells, in link order. */
struct namespace_provide {
	uint16_t cell, index; /* cells[cell]->provides[index] */
	uint32_t interface;   /* its number */
};

/* A part of one of the lists below. */
struct namespace_list {
	uint32_t first, n;
};

/* What some cell provides. Lists ascend and name each once. */
struct namespace_interface {
	uint32_t first;                /* number of the first table: name and ABI are its */
	uint32_t seen;                 /* while it is built: cell + 1 */
	struct namespace_list tables;  /* in tables: their numbers */
	struct namespace_list owners;  /* in owners: cells that provide it */
	struct namespace_list seekers; /* in seekers: cells that look it up */
};

struct namespace_cell {
	uint32_t first_export; /* number of its first export */
	uint32_t first_link;   /* links[first_link + i]: the export that its import i is bound to */
	uint32_t n_links, n_consumes; /* as its record says, which lies elsewhere */
	struct namespace_list users;  /* in users: cells that are linked to it */
	struct namespace_list deps;   /* in deps: cells that it is linked to */
	uint32_t refs;                /* cells that are linked to it or look up what it provides */
	uint32_t seen;                /* while it is built: cell + 1 */
};

struct namespace_range {
	uint32_t start, end; /* of a cell's text or rodata, as window offsets */
	uint16_t cell;
	uint16_t region; /* enum link_region */
};

struct namespace
{
	uint64_t generation;
	size_t bytes; /* of its memory: a block with all tables behind it */
	uint32_t n_cells, n_exports, n_links, n_provides, n_interfaces, n_ranges;
	struct record **cells; /* link order; owned by whoever built the namespace */
	struct namespace_cell *nodes;
	struct namespace_export *exports;
	uint32_t *links; /* number of an export; NAMESPACE_NONE = absent (weak) */
	struct namespace_provide *provides;
	struct namespace_interface *interfaces;
	uint32_t *users, *deps, *tables, *owners,
		*seekers;                     /* each in parts: struct namespace_list */
	struct namespace_range *ranges;       /* by start */
	struct namespace_range *other_ranges; /* room to sort them */
	struct index by_name, by_self;        /* of cells */
	struct index by_export, by_interface;
	struct index by_provide; /* by interface and name: the first of each */
};

/*
 * Accepts NULL. A large one's memory is kept for the next of about that size: to make pages and
 * to drop them takes longer than to fill them. Who makes namespaces, and frees them, is alone.
 */
void namespace_free(struct namespace *ns);

/*
 * Builds the namespace of @cells (borrowed), whose names differ. Every export has one owner,
 * every import an export of the same ABI, every interface one ABI; otherwise reasons are
 * reported. Result: 0, -EPERM, -ENOMEM.
 */
int namespace_create(struct record *const *cells, uint32_t n_cells, uint64_t generation,
		     struct namespace **ret_ns, struct loader_report *report);

/* Fills what regions and slots are found by, when all are placed. */
void namespace_settle(struct namespace *ns);

/* ---- lookup.c: takes no lock, allocates nothing ---- */

/* Number of the export called @name, or NAMESPACE_NONE. */
uint32_t namespace_find(const struct namespace *ns, struct slice name);
uint32_t namespace_find_hashed(const struct namespace *ns, const char *name, uint32_t hash);

/* Index of a cell, or NAMESPACE_NONE. */
uint32_t namespace_find_cell(const struct namespace *ns, struct slice name);
uint32_t namespace_index_of(const struct namespace *ns, const struct record *r);
/* The cell whose own slot is @self. */
uint32_t namespace_find_self(const struct namespace *ns, uint32_t self);

/* NULL: nobody provides it. */
const struct namespace_interface *namespace_find_interface(const struct namespace *ns,
							   const char *name);
/* Its number, or NAMESPACE_NONE; @hash: of @name. */
uint32_t namespace_interface_number(const struct namespace *ns, const char *name, uint32_t hash);

/* Number of the first such table, or NAMESPACE_NONE; @hash: of both, see record_provide. */
uint32_t namespace_find_provide(const struct namespace *ns, const char *interface, const char *name,
				uint32_t hash);

/* Cell whose text or rodata covers @at, and which of both, or NULL. */
const struct record *namespace_locate(const struct namespace *ns, uint32_t at,
				      enum link_region *ret_region);

/*
 * Marks the cells that are linked to one of @index's exports, or look up an interface of it:
 * @depends has ns->n_cells elements.
 */
void namespace_dependents(const struct namespace *ns, uint32_t index, bool *depends);
/* Marks the cells whose exports @index is linked to. Result: whether one was not marked yet. */
bool namespace_mark_deps(const struct namespace *ns, uint32_t index, bool *marks);

static inline const struct record_export *namespace_export(const struct namespace *ns,
							   uint32_t number)
{
	const struct namespace_export *e = &ns->exports[number];

	return &ns->cells[e->cell]->exports[e->index];
}

static inline const struct record_provide *namespace_provide(const struct namespace *ns,
							     uint32_t number)
{
	const struct namespace_provide *p = &ns->provides[number];

	return &ns->cells[p->cell]->provides[p->index];
}

/* Number of the export that import @import of cell @index is bound to, or NAMESPACE_NONE. */
static inline uint32_t namespace_bound(const struct namespace *ns, uint32_t index, uint32_t import)
{
	return ns->links[ns->nodes[index].first_link + import];
}

#endif
