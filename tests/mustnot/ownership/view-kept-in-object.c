/* SPDX-License-Identifier: MIT */
/*
 * what: a view that an object keeps after its region was dropped
 * gcc: use after|Wuse-after-free
 * clang: Use of memory after it is freed
 */
#include <theseus/errno.h>
#include <theseus/mapped.h>

struct user {
	int *at;
};
int f(struct user *u);
int f(struct user *u)
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
	u->at = p;
	mapped_drop(&r);
	return *u->at;
#else
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
	u->at = p;
	*u->at = 2;
	u->at = NULL;
	mapped_drop(&r);
	return 0;
#endif
}
