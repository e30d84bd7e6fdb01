/* SPDX-License-Identifier: MIT */
/*
 * what: a block given back twice
 * gcc: double-'free'|Wuse-after-free|double-'heap_free'
 * clang: Attempt to free released memory
 */
#include <theseus/heap.h>

void f(void);
void f(void)
{
#ifdef WRONG
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	heap_free(p);
	heap_free(p);
#else
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	heap_free(p);
#endif
}
