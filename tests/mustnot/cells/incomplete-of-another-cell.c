/* SPDX-License-Identifier: MIT */
/*
 * what: a look into a type that another cell keeps to itself
 * gcc: incomplete type|invalid use of undefined type
 * clang: incomplete definition of type
 */
#include <theseus/loader.h>

uint32_t f(struct loader_stage *stage, struct loader_change *change);
uint32_t f(struct loader_stage *stage, struct loader_change *change)
{
#ifdef WRONG
	return stage->generation;
#else
	return loader_stage_change(stage, 0, change) < 0;
#endif
}
