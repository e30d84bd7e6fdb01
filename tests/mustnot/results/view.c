/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the view lies within the region
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/mapped.h>

int f(struct mapped m, void **ret);
int f(struct mapped m, void **ret)
{
#ifdef WRONG
	mapped_view(m, 0, 8, 8, ret);
	return 0;
#else
	return mapped_view(m, 0, 8, 8, ret);
#endif
}
