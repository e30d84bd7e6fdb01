/* SPDX-License-Identifier: MIT */
/*
 * what: a block used by the one from whom it was taken
 * gcc: NULL
 * clang: none (its analysis loses the value of a compound literal)
 */
#include <theseus/heap.h>

extern int *kept;
int *kept;
int f(int *given);
int f(int *given)
{
#ifdef WRONG
	int *p = given;

	kept = TAKE(p);
	return *p;
#else
	int *p = given;

	kept = TAKE(p);
	return p ? -EINVAL : *kept;
#endif
}
