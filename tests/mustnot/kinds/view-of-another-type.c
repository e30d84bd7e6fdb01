/* SPDX-License-Identifier: MIT */
/*
 * what: a view taken as one type and kept as another
 * gcc: incompatible (pointer|return) type
 * clang: incompatible (pointer types|result type)
 */
#include <theseus/mapped.h>

uint64_t *f(struct mapped region);
uint64_t *f(struct mapped region)
{
#ifdef WRONG
	return MAPPED_VIEW(uint32_t, region, 0, 4);
#else
	return MAPPED_VIEW(uint64_t, region, 0, 4);
#endif
}
