/* SPDX-License-Identifier: MIT */
/*
 * Reader of manifest.pb (proto/manifest.proto), for hostile bytes and without allocation: a
 * manifest is checked once as a whole, then walked with iterators that cannot fail.
 * Everything borrows the manifest's bytes.
 */
#ifndef THESEUS_LOADER_MANIFEST_H
#define THESEUS_LOADER_MANIFEST_H

#include "report.h"
#include "slice.h"

#define MANIFEST_FORMAT 1u
#define MANIFEST_CELLS_MAX 64u
#define MANIFEST_EXPORTS_MAX 512u /* a cell; the same for the other lists */
#define MANIFEST_IMPORTS_MAX 1024u
#define MANIFEST_PROVIDES_MAX 64u
#define MANIFEST_CONSUMES_MAX 64u
#define MANIFEST_SIGNATURE_MAX 1024u
#define MANIFEST_BYTES_MAX (1u << 20)

struct manifest {
	struct slice bytes;
	uint64_t sequence, floor, expiry_unix;
	uint32_t n_cells, n_obsoletes;
};

struct manifest_cell {
	struct slice body;
	struct slice name, version, summary, object, state_type;
	uint64_t size, state_schema, state_bytes;
	uint8_t sha256[32];
	uint8_t build_id[20];
	uint32_t sdk_abi, grants;
	uint8_t safety, quiescence, restart;
	uint32_t n_exports, n_imports, n_provides, n_consumes;
};

struct manifest_export {
	struct slice name, signature;
	uint64_t abi;
	bool blocking;
};

struct manifest_import {
	struct slice name;
	uint64_t abi;
};

struct manifest_provide {
	struct slice interface, name, symbol;
	uint64_t abi;
};

/*
 * Checks everything: wire format, lengths, counts, names, unique cell names.
 * Result: 0, -EINVAL with a reason.
 */
int manifest_open(struct slice bytes, struct manifest *ret_manifest, struct loader_report *report);

/* Start with *offset = 0. Result: false at the end. */
bool manifest_next_cell(const struct manifest *m, uint64_t *offset, struct manifest_cell *ret);
bool manifest_next_obsolete(const struct manifest *m, uint64_t *offset, struct slice *ret_name);
bool manifest_next_export(const struct manifest_cell *c, uint64_t *offset,
			  struct manifest_export *ret);
bool manifest_next_import(const struct manifest_cell *c, uint64_t *offset,
			  struct manifest_import *ret);
bool manifest_next_provide(const struct manifest_cell *c, uint64_t *offset,
			   struct manifest_provide *ret);
bool manifest_next_consume(const struct manifest_cell *c, uint64_t *offset,
			   struct slice *ret_interface);

#endif
