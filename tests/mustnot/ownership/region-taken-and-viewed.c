/* SPDX-License-Identifier: MIT */
/*
 * what: a view of a region from which ownership was taken
 * gcc: NULL
 * clang: none (its analysis loses the value of a compound literal)
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

extern struct mapped kept;
struct mapped kept;
int f(void);
int f(void)
{
#ifdef WRONG
	struct mapped r = {0};
	int *p;

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	kept = TAKE(r);
	p = MAPPED_VIEW(int, r, 0, 4);
	return *p;
#else
	struct mapped r = {0};
	int *p;

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	p = MAPPED_VIEW(int, r, 0, 4);
	kept = TAKE(r);
	return *p;
#endif
}
