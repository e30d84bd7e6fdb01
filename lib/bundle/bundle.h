/* SPDX-License-Identifier: MIT */
/*
 * Bundles: an ar archive with `manifest.pb` first and one ET_REL object a cell. Reader for
 * foreign bytes, and writer. An opened bundle is whole: every object that the manifest names
 * is there with its size and SHA-256, and nothing else is, but for the manifest's signature.
 */
#ifndef THESEUS_LIB_BUNDLE_H
#define THESEUS_LIB_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reasons.h"
#include "manifest.pb-c.h"

#define BUNDLE_FORMAT 1u
#define BUNDLE_BYTES_MAX (16u << 20)
#define BUNDLE_MANIFEST_MAX (1u << 20)
#define BUNDLE_CELLS_MAX 128u
#define BUNDLE_MANIFEST "manifest.pb"
#define BUNDLE_SIGNATURE "manifest.pb.minisig"
#define BUNDLE_NAME_MAX 32u   /* of a cell, interface or provider; NUL included */
#define BUNDLE_SYMBOL_MAX 64u /* of a symbol; NUL included */

struct bundle;

/* A cell of an opened bundle; everything is borrowed from the bundle. */
struct bundle_cell {
	const Theseus__Cell *manifest;
	const uint8_t *object;
	size_t size;
};

/*
 * Reads and checks a bundle. Words of @reasons (all that were found): "no-such-file",
 * "unreadable", "too-large", "not-an-archive", "cut-short", "bad-archive",
 * "duplicate-member", "no-manifest", "bad-manifest", "unknown-format", "duplicate-cell",
 * "missing-object", "size-mismatch", "hash-mismatch", "stray-member".
 * Every text starts with the path or @name. Result: 0, -EPERM with @reasons, -ENOMEM.
 */
int bundle_open_file(const char *path, struct bundle **ret_bundle, struct reasons *reasons);

/* The same for a block of memory, which is copied. @name stands for the path in texts. */
int bundle_open(const char *name, const void *data, size_t size, struct bundle **ret_bundle,
		struct reasons *reasons);

/* Accepts NULL. */
void bundle_free(struct bundle *bundle);

/* Cleanup attribute. */
static inline void bundle_drop(struct bundle **bundle)
{
	bundle_free(*bundle);
}

const Theseus__Manifest *bundle_manifest(const struct bundle *bundle);
size_t bundle_n_cells(const struct bundle *bundle);

/* The @index-th cell in link order; @index < bundle_n_cells(). */
struct bundle_cell bundle_cell_at(const struct bundle *bundle, size_t index);

/* The cell @name. Result: 0, -ENOENT. */
int bundle_cell_find(const struct bundle *bundle, const char *name, struct bundle_cell *ret_cell);

/* The whole file, e.g. to upload it. Borrowed. */
const uint8_t *bundle_bytes(const struct bundle *bundle, size_t *ret_size);

/* SHA-256 of the whole file. */
void bundle_sha256(const struct bundle *bundle, uint8_t ret_hash[32]);

/* The signature's bytes, borrowed; NULL when the bundle is not signed. */
const uint8_t *bundle_signature(const struct bundle *bundle, size_t *ret_size);

/* Whether @name can be that of a cell, an interface or a provider: [a-z][a-z0-9_]*, 1..31 bytes. */
bool bundle_name_valid(const char *name);

/* Whether @version is a semantic version, "1.2.3" or "1.2.3-rc.1", of at most 15 bytes. */
bool bundle_version_valid(const char *version);

/* ---- writing ---- */

struct bundle_input {
	const Theseus__Cell *manifest; /* object, size and sha256 are filled in by the writer */
	const uint8_t *object;
	size_t size;
};

struct bundle_header {
	uint64_t sequence, floor, expiry_unix;
};

/*
 * Appends a bundle to the empty @out. The bytes depend on the arguments alone. Members are
 * named like their cells; names over 15 bytes are cut to 11 and numbered, so that a reader
 * needs no table of long names. Result: 0, -ENOMEM, -EFBIG (over BUNDLE_BYTES_MAX).
 */
int bundle_write(const struct bundle_header *header, const struct bundle_input *cells, size_t n,
		 struct buf *out);

/*
 * A copy of @cell with @to wherever @from stands, in its manifest and in its object; both are as
 * long. So a cell of which every name contains its own becomes many. Result: 0, -ENOMEM. Free
 * with theseus__cell__free_unpacked() and free().
 */
int bundle_cell_rename(const struct bundle_cell *cell, const char *from, const char *to,
		       Theseus__Cell **ret_manifest, uint8_t **ret_object);

/*
 * bundle_write() of a manifest as it stands: sizes and digests are not filled in. For tests that
 * need a manifest which lies.
 */
int bundle_write_raw(const Theseus__Manifest *manifest, const uint8_t *const *objects,
		     const size_t *sizes, struct buf *out);

#endif
