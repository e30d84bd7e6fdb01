/* SPDX-License-Identifier: MIT */
/*
 * Which unwind information describes which code: .eh_frame of a cell, as a table sorted by
 * address. Code that no entry covers is where unwinding ends. Pure.
 */
#ifndef THESEUS_LOADER_FDE_H
#define THESEUS_LOADER_FDE_H

#include "slice.h"

struct fde {
	uint32_t at, bytes; /* code: window offset */
	uint32_t entry;     /* window offset of its frame description entry */
};

/*
 * Lists the entries of @section, which is relocated for the window offset @at, as far as they
 * describe code in [@text, @text + @text_bytes); unsorted. Bytes are not trusted.
 * Result: how many there are (the first @max are in @ret), -EINVAL.
 */
int64_t fde_list(struct slice section, uint32_t at, uint32_t text, uint32_t text_bytes,
		 struct fde *ret, uint32_t max);

/* In a sorted table: what covers @at, or NULL. */
const struct fde *fde_find(const struct fde *fdes, uint32_t n, uint32_t at);

#endif
