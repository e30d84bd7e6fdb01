/* SPDX-License-Identifier: MIT */
/*
 * what: a region that nobody owns at the end
 * gcc: leak of
 * clang: [Pp]otential (memory )?leak
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

int f(int n);
int f(int n)
{
#ifdef WRONG
	struct mapped r = {0};

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	return n;
#else
	struct mapped r = {0};

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	mapped_drop(&r);
	return n;
#endif
}
