/* SPDX-License-Identifier: MIT */
/*
 * Unwind barriers of a packed object: code that no entry of .eh_frame describes, as of foreign
 * archives and assembly without CFI. Unwinding ends there, so no cleanup of a caller runs.
 *
 * Each run of such bytes is cut where a symbol begins or ends. A piece is a barrier unless it holds
 * nothing but the no-operations that fill the room between functions; so nothing is missed because
 * it has no symbol, and what has one without a size takes the room behind it along.
 */
#ifndef THESEUS_LIB_PACK_BARRIER_H
#define THESEUS_LIB_PACK_BARRIER_H

#include "object.h"

struct barrier {
	const char *function; /* that it lies in, borrowed from the object; NULL: no symbol says */
	uint64_t at, bytes;   /* in .text */
};

/*
 * Lists them in order; the caller frees *ret_barriers. What counts as described is what the loader
 * takes (cells/loader/fde.c). @name is for messages, @reasons may be NULL.
 * Result: 0, -EPERM with @reasons ("bad-object": an .eh_frame that the loader would refuse),
 * -ENOMEM.
 */
int barriers_find(const char *name, const struct object *o, struct barrier **ret_barriers,
		  size_t *ret_n, struct reasons *reasons);

#endif
