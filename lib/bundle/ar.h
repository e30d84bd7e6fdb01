/* SPDX-License-Identifier: MIT */
/*
 * The archive format of ar(1), as GNU writes it: what a bundle is wrapped in. Long names (the
 * "//" table) are read and written; symbol tables are skipped when reading, never written.
 */
#ifndef THESEUS_LIB_AR_H
#define THESEUS_LIB_AR_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reasons.h"

#define AR_NAME_MAX 64u /* bytes, NUL included */
#define AR_MEMBERS_MAX 256u

struct ar_member {
	char name[AR_NAME_MAX];
	const uint8_t *data; /* in the caller's block */
	size_t size;
};

/*
 * Reads foreign bytes. @ret_members (freed by the caller) borrows from @data. Result: 0,
 * -EPERM with @reasons ("not-an-archive", "cut-short", "bad-archive", "duplicate-member"),
 * -ENOMEM.
 */
int ar_parse(const uint8_t *data, size_t size, struct ar_member **ret_members, size_t *ret_n,
	     struct reasons *reasons);

/*
 * Writes the members in order; the bytes depend on names and contents alone. Names longer
 * than 15 bytes go to a table that comes first. Appends to @out, which must be empty.
 */
void ar_write(const struct ar_member *members, size_t n, struct buf *out);

#endif
