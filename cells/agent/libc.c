/* SPDX-License-Identifier: MIT */
/*
 * What the packed library asks of a C runtime beyond the libc cell. Its own allocator is
 * never used here (every call gets one), but its code refers to it.
 */
#include <theseus/heap.h>

void *malloc(size_t size);
void free(void *p);

void *malloc(size_t size)
{
	return heap_alloc(CELL_SELF, size);
}

void free(void *p)
{
	heap_free(p);
}
