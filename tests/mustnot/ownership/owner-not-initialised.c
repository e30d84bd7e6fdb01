/* SPDX-License-Identifier: MIT */
/*
 * what: an owning variable without an initial value: its cleanup would drop garbage
 * gcc: uninitialized
 * clang: none (clang 14 does not follow cleanup functions)
 */
#include <theseus/mapped.h>

int f(int n);
int f(int n)
{
#ifdef WRONG
	OWNED(mapped_drop) struct mapped r;

	if (n < 0)
		return n;
	return mapped_create(MAPPED_DATA, 4096, &r);
#else
	OWNED(mapped_drop) struct mapped r = {0};

	if (n < 0)
		return n;
	return mapped_create(MAPPED_DATA, 4096, &r);
#endif
}
