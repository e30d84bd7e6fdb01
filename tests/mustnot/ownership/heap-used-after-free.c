/* SPDX-License-Identifier: MIT */
/*
 * what: a block used after it was given back
 * gcc: use after|Wuse-after-free
 * clang: Use of memory after it is freed
 */
#include <theseus/heap.h>

int f(void);
int f(void)
{
#ifdef WRONG
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = 1;
	heap_free(p);
	return *p;
#else
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p)), n;

	if (!p)
		return -ENOMEM;
	*p = 1;
	n = *p;
	heap_free(p);
	return n;
#endif
}
