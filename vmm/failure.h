/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, in words for the operator: one to three lines that name the thing and
 * the way out. Filled by the function that knows, printed once at the top.
 */
#ifndef VMM_FAILURE_H
#define VMM_FAILURE_H

struct failure {
	char text[512]; /* NUL-terminated, cut if longer */
};

/* Writes @fmt to @f and returns @error (-errno), so a refusal is one statement. */
int failure(struct failure *f, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), nonnull(1, 3)));

#endif
