/* SPDX-License-Identifier: MIT */
/*
 * what: a mapped region where an object is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/heap.h>
#include <theseus/mapped.h>

int f(struct heap_type type, struct handle h, struct mapped m);
int f(struct heap_type type, struct handle h, struct mapped m)
{
#ifdef WRONG
	(void)h;
	return object_destroy(type, m);
#else
	(void)m;
	return object_destroy(type, h);
#endif
}
