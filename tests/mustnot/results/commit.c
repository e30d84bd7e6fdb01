/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether a swap was committed
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/loader.h>

int f(struct loader_stage *s);
int f(struct loader_stage *s)
{
#ifdef WRONG
	loader_stage_commit(s);
	return 0;
#else
	return loader_stage_commit(s);
#endif
}
