/* SPDX-License-Identifier: MIT */
/*
 * The safety report of one cell: what theseus-cellcheck writes, and what the packer puts into
 * the manifest. The rules that find an operation are in rules.h.
 *
 * As text, one fact a line, in this order:
 *   code N              lines that are neither blank nor comment only
 *   unsafe N            those of them that hold an unsafe operation
 *   kind NAME N         operations of a kind; kinds without any are left out
 *   place NAME FILE:LINE    the first SAFETY_PLACES_MAX operations, in the order of the sources
 *   broken FILE:LINE: TEXT  instead of all this: a source cannot be read as C
 */
#ifndef THESEUS_LIB_CHECK_REPORT_H
#define THESEUS_LIB_CHECK_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reasons.h"

#define SAFETY_PLACES_MAX 16u
#define SAFETY_PLACE_BYTES 200u /* longer ones are cut at the front */

/* rules.h says what each means. */
enum unsafe_kind {
	UNSAFE_ASM,
	UNSAFE_INT_TO_POINTER,
	UNSAFE_PUN,
	UNSAFE_DEVICE,
	UNSAFE_GATE,
	UNSAFE_MACHINE,
	UNSAFE_SYMBOL,
	UNSAFE_CONST_CAST,
	UNSAFE_FUNCTION_CAST,
	UNSAFE_FOREIGN,
	_UNSAFE_KIND_MAX,
	_UNSAFE_KIND_INVALID = -22,
};

/* "asm", "int-to-pointer", ... */
const char *unsafe_kind_name(enum unsafe_kind kind);

/* The kind of that name (@len bytes), or _UNSAFE_KIND_INVALID. */
enum unsafe_kind unsafe_kind_of(const char *name, size_t len);

struct safety_place {
	enum unsafe_kind kind;
	char where[SAFETY_PLACE_BYTES]; /* FILE:LINE */
};

struct safety {
	uint32_t code_lines, unsafe_lines;
	uint32_t counts[_UNSAFE_KIND_MAX];
	size_t n_places;
	struct safety_place places[SAFETY_PLACES_MAX];
};

/* Operations of all kinds together. */
uint64_t safety_operations(const struct safety *s);

/* Counts one operation; it becomes a place while there is room. */
void safety_add(struct safety *s, enum unsafe_kind kind, const char *where);

void safety_write(const struct safety *s, struct buf *out);

/*
 * Reads a report. Result: 0, or -EPERM with @reasons: "unchecked" for one that says that a
 * source is broken, "bad-report" for what is none. @name is said in messages.
 */
int safety_read(const char *name, const char *text, struct safety *ret_safety,
		struct reasons *reasons);

#endif
