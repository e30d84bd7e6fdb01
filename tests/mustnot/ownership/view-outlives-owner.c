/* SPDX-License-Identifier: MIT */
/*
 * what: a view used where the scope that owned its region has ended
 * gcc: use after|Wuse-after-free|dangling
 * clang: none (clang 14 does not follow cleanup functions)
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

int f(void);
int f(void)
{
#ifdef WRONG
	int *p;

	{
		OWNED(mapped_drop) struct mapped r = {0};

		if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
			return -ENOMEM;
		p = MAPPED_VIEW(int, r, 0, 4);
	}
	return p ? *p : 0;
#else
	int n = 0;

	{
		OWNED(mapped_drop) struct mapped r = {0};
		int *p;

		if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
			return -ENOMEM;
		p = MAPPED_VIEW(int, r, 0, 4);
		if (p)
			n = *p;
	}
	return n;
#endif
}
