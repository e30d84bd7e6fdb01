/* SPDX-License-Identifier: MIT */
/*
 * what: a region freed as if it were frames
 * gcc: incompatible pointer type
 * clang: incompatible pointer types
 */
#include <theseus/frames.h>
#include <theseus/mapped.h>

void f(struct frame_run *run, struct mapped *region);
void f(struct frame_run *run, struct mapped *region)
{
#ifdef WRONG
	(void)run;
	frames_free(region);
#else
	(void)region;
	frames_free(run);
#endif
}
