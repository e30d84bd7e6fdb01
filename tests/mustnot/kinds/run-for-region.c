/* SPDX-License-Identifier: MIT */
/*
 * what: frames where the region that maps them is asked for
 * gcc: incompatible pointer type
 * clang: incompatible pointer types
 */
#include <theseus/mapped.h>

void f(struct frame_run *run, struct mapped *region);
void f(struct frame_run *run, struct mapped *region)
{
#ifdef WRONG
	(void)region;
	mapped_drop(run);
#else
	(void)run;
	mapped_drop(region);
#endif
}
