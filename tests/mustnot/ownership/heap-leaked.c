/* SPDX-License-Identifier: MIT */
/*
 * what: a block that nobody owns at the end
 * gcc: leak of
 * clang: [Pp]otential (memory )?leak
 */
#include <theseus/heap.h>

int f(int n);
int f(int n)
{
#ifdef WRONG
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = n;
	return n;
#else
	int *p = heap_alloc((struct cell_ref){0}, sizeof(*p));

	heap_free(p);
	return n;
#endif
}
