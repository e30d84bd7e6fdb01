/* SPDX-License-Identifier: MIT */
/*
 * what: a handle of an object where its type is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/heap.h>

void *f(struct heap_type type, struct handle h);
void *f(struct heap_type type, struct handle h)
{
#ifdef WRONG
	(void)type;
	return object_get(h, h);
#else
	return object_get(type, h);
#endif
}
