/* SPDX-License-Identifier: MIT */
/*
 * what: a block used without a look whether there was memory
 * gcc: NULL
 * clang: none (its analysis takes every allocation to succeed)
 */
#include <theseus/heap.h>

int f(void);
int f(void)
{
#ifdef WRONG
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	*p = 1;
	heap_free(p);
	return 0;
#else
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = 1;
	heap_free(p);
	return 0;
#endif
}
