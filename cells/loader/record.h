/* SPDX-License-Identifier: MIT */
/*
 * What the loader keeps of a linked cell. Addresses in the cell window are kept as 32-bit
 * offsets from its start: the conservative scan for words that point into old code must not
 * find the loader's own records.
 */
#ifndef THESEUS_LOADER_RECORD_H
#define THESEUS_LOADER_RECORD_H

#include <theseus/mapped.h>

#include "fde.h"
#include "index.h"
#include "link.h"
#include "manifest.h"

static inline uint64_t window_addr(uint32_t at)
{
	return GATE_CELL_WINDOW + at;
}

static inline uint32_t window_at(uint64_t addr)
{
	return (uint32_t)(addr - GATE_CELL_WINDOW);
}

struct record_region {
	uint32_t at, bytes;  /* whole pages; 0 bytes = none */
	struct mapped pages; /* owned, but see record.keeps_state */
};

struct record_export {
	const char *name, *signature;
	uint64_t abi;
	uint32_t hash; /* of the name */
	uint32_t at;
	uint32_t stub_at; /* blocking: what callers link to */
	uint32_t slot;    /* blocking: through which the stub calls */
	bool blocking;
};

struct record_import {
	const char *name;
	uint64_t abi;
	uint32_t hash; /* of the name */
	bool weak; /* may stay unbound */
};

struct record_provide {
	const char *interface, *name;
	uint64_t abi;
	uint32_t interface_hash, hash; /* of interface and name: index_hash_pair() */
	uint32_t at;   /* of the table */
	uint32_t slot; /* of cell_ops: the cell's own */
};

/* A relocation against an import: what has to be patched when its exporter is replaced. */
struct record_site {
	uint32_t at;
	int32_t addend;
	uint16_t import;
	uint16_t section; /* index into sections; the GOT is the last one */
	uint32_t type;
};

struct record_section {
	const char *name;
	uint32_t at, bytes;
	uint32_t region; /* enum link_region */
	uint32_t sites;  /* relocations in it against imports */
};

struct record_function {
	uint32_t at, bytes;
	const char *name;
};

/*
 * All pointers are owned by the record; what namespaces are made of lies behind it in its block.
 */
struct record {
	char name[CELL_NAME_MAX], version[16], summary[100];
	const char *state_type;
	uint8_t hash[32], build_id[20];
	uint64_t generation, state_schema;
	uint32_t name_hash;
	uint32_t self; /* slot, and cell_ref.id */
	uint32_t grants;
	uint8_t safety, quiescence, restart;
	bool keeps_state; /* the state region belongs to this record: it goes with it */
	struct record_region regions[LINK_REGIONS];
	uint8_t *initial; /* what the state was before init, if the cell may be restarted; NULL: zeros */
	uint32_t n_exports, n_imports, n_provides, n_consumes, n_sections, n_functions, n_sites;
	struct record_export *exports;
	struct record_import *imports;
	struct record_provide *provides;
	const char **consumes; /* interfaces */
	struct record_section *sections;
	struct record_function *functions; /* by address */
	struct record_site *sites;
	uint32_t sites_max;
	struct fde *fdes; /* by address */
	uint32_t n_fdes;
	char *strings;
};

/* Frees the record, not its regions. Accepts NULL. */
void record_free(struct record *r);

/*
 * A record without addresses: names, hashes, and what the object says about itself.
 * @ret_imports gets, for each symbol, the import it is, or UINT16_MAX. Result: 0; -EINVAL with
 * reasons: exports and tables that the object does not define; -ENOMEM.
 */
int record_create(const struct manifest_cell *m, const struct object *o,
		  const struct link_layout *l, uint16_t *ret_imports, struct record **ret_record,
		  struct loader_report *report);

/* Turns offsets into addresses, once, when the regions are placed. */
void record_place(struct record *r);

/* Sorts an array of structures of whole words that begin with the uint32_t to sort by. */
void record_sort(void *array, uint32_t n, size_t bytes);

/*
 * Lists the unwind information of a linked cell (unwind.c). Result: 0; -EINVAL with a reason;
 * -ENOMEM.
 */
int record_read_fdes(struct record *r, struct loader_report *report);

/* Adds a site. Result: 0, -ERANGE (addend too large for a record), -ENOSPC. */
int record_add_site(struct record *r, const struct link_site *site, uint32_t import);

const struct record_export *record_find_export(const struct record *r, const char *name);
/* The same of a blocking one. @r may be NULL. */
const struct record_export *record_find_blocking(const struct record *r, const char *name);
const struct record_provide *record_find_provide(const struct record *r, const char *interface,
						 const char *name);

/* The table of cell_ops, whose slot is the cell's own: NULL, or 0, when there is none. */
const struct record_provide *record_ops_provide(const struct record *r);
uint64_t record_ops_addr(const struct record *r);

/* What callers link to. */
static inline uint64_t record_export_addr(const struct record_export *e)
{
	return window_addr(e->blocking ? e->stub_at : e->at);
}

#endif
