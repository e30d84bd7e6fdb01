/* SPDX-License-Identifier: MIT */
/*
 * what: an object's address used after the object was destroyed
 * gcc: use after|Wuse-after-free
 * clang: Use of memory after it is freed
 */
#include <theseus/heap.h>

int f(struct heap_type type);
int f(struct heap_type type)
{
#ifdef WRONG
	struct handle h = {0};
	int *p;

	if (object_create(type, (struct object_owner){.task = 1}, &h) < 0)
		return -ENOMEM;
	p = object_get(type, h);
	object_destroy(type, h);
	return p ? *p : 0;
#else
	struct handle h = {0};
	int *p, n = 0;

	if (object_create(type, (struct object_owner){.task = 1}, &h) < 0)
		return -ENOMEM;
	p = object_get(type, h);
	if (p)
		n = *p;
	object_destroy(type, h);
	return n;
#endif
}
