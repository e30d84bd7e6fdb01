/* SPDX-License-Identifier: MIT */
/*
 * what: a virtual address where a physical one is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/mapped.h>

int f(vaddr_t va, paddr_t pa, struct mapped *ret);
int f(vaddr_t va, paddr_t pa, struct mapped *ret)
{
#ifdef WRONG
	(void)pa;
	return mapped_create_device(va, 4096, ret);
#else
	(void)va;
	return mapped_create_device(pa, 4096, ret);
#endif
}
