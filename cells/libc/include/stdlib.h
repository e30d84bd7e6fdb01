/* SPDX-License-Identifier: MIT */
/*
 * The part of <stdlib.h> that cells use. Memory comes from theseus/heap.h; a packed foreign
 * library that needs malloc() brings its own on top of it.
 */
#ifndef THESEUS_LIBC_STDLIB_H
#define THESEUS_LIBC_STDLIB_H

#include <stddef.h>

/*
 * As in C, for base 0 and 2..36 (another base: 0, nothing consumed), except that there is no
 * errno: a value out of range is clamped to the type's limit.
 */
long strtol(const char *restrict s, char **restrict ret_end, int base);
unsigned long strtoul(const char *restrict s, char **restrict ret_end, int base);
long long strtoll(const char *restrict s, char **restrict ret_end, int base);
unsigned long long strtoull(const char *restrict s, char **restrict ret_end, int base);

/* In place, not stable; O(n log n) in the worst case, allocates nothing. */
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b));
void *bsearch(const void *key, const void *base, size_t n, size_t size,
	      int (*compare)(const void *key, const void *element));

/* A fault of the calling task: see theseus/trap.h. */
void abort(void) __attribute__((noreturn));

#endif
