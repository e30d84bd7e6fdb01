/* SPDX-License-Identifier: MIT */
/*
 * Why something was refused: all reasons that were found, each one line that names the
 * thing, and a stable word for programs that comes with the first.
 */
#ifndef THESEUS_LIB_REASONS_H
#define THESEUS_LIB_REASONS_H

#include <stddef.h>

#define REASONS_MAX 64u
#define REASON_BYTES 1024u /* longer text is cut */

struct reasons {
	char code[32]; /* word of the first reason: "not-an-archive"; "" while there is none */
	size_t n;      /* reasons kept in text */
	size_t more;   /* further ones that were only counted */
	char *text[REASONS_MAX];
};

/* Frees the texts; accepts {0}. Usable as a cleanup attribute. */
void reasons_done(struct reasons *r);

/* Adds a reason (@r may be NULL: nobody asks why). Result: -EPERM, for `return reasons_add(…)`. */
int reasons_add(struct reasons *r, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The first reason's text, or "out of memory" where not even that could be kept. */
const char *reasons_first(const struct reasons *r);

#endif
