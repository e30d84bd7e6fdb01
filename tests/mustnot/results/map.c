/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the region was made
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/mapped.h>

int f(struct mapped *ret);
int f(struct mapped *ret)
{
#ifdef WRONG
	mapped_create(MAPPED_DATA, 4096, ret);
	return 0;
#else
	return mapped_create(MAPPED_DATA, 4096, ret);
#endif
}
