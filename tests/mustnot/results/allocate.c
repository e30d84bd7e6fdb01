/* SPDX-License-Identifier: MIT */
/*
 * what: an allocation that nobody keeps
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/heap.h>

void f(void);
void f(void)
{
#ifdef WRONG
	heap_alloc((struct cell_ref){0}, 8);
#else
	OWNED(heap_drop) void *p = heap_alloc((struct cell_ref){0}, 8);

	(void)p;
#endif
}
