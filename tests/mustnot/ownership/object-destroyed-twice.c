/* SPDX-License-Identifier: MIT */
/*
 * what: an object destroyed twice
 * gcc: double-'free'|Wuse-after-free
 * clang: Attempt to free released memory
 */
#include <theseus/heap.h>

int f(struct heap_type type);
int f(struct heap_type type)
{
#ifdef WRONG
	struct handle h = {0};

	if (object_create(type, (struct object_owner){.task = 1}, &h) < 0)
		return -ENOMEM;
	object_destroy(type, h);
	return object_destroy(type, h);
#else
	struct handle h = {0};

	if (object_create(type, (struct object_owner){.task = 1}, &h) < 0)
		return -ENOMEM;
	return object_destroy(type, h);
#endif
}
