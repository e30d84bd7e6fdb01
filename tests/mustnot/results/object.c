/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the object was made
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/heap.h>

int f(struct heap_type t, struct handle *ret);
int f(struct heap_type t, struct handle *ret)
{
#ifdef WRONG
	object_create(t, (struct object_owner){.task = 1}, ret);
	return 0;
#else
	return object_create(t, (struct object_owner){.task = 1}, ret);
#endif
}
