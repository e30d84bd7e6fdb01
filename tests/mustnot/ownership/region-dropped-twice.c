/* SPDX-License-Identifier: MIT */
/*
 * what: a region dropped twice, the second time through a copy of its handle
 * gcc: double-'free'|Wuse-after-free
 * clang: Attempt to free released memory
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

int f(void);
int f(void)
{
#ifdef WRONG
	struct mapped r = {0}, copy;

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	copy = r;
	mapped_drop(&r);
	mapped_drop(&copy);
	return 0;
#else
	struct mapped r = {0};

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	mapped_drop(&r);
	mapped_drop(&r);
	return 0;
#endif
}
