/* SPDX-License-Identifier: MIT */
/*
 * what: a view used after its region was dropped
 * gcc: use after|Wuse-after-free
 * clang: Use of memory after it is freed
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

int f(void);
int f(void)
{
#ifdef WRONG
	struct mapped r = {0};
	int *p;

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	p = MAPPED_VIEW(int, r, 0, 4);
	if (!p) {
		mapped_drop(&r);
		return -EINVAL;
	}
	*p = 1;
	mapped_drop(&r);
	return *p;
#else
	struct mapped r = {0};
	int *p, n;

	if (mapped_create(MAPPED_DATA, 4096, &r) < 0)
		return -ENOMEM;
	p = MAPPED_VIEW(int, r, 0, 4);
	if (!p) {
		mapped_drop(&r);
		return -EINVAL;
	}
	*p = 1;
	n = *p;
	mapped_drop(&r);
	return n;
#endif
}
