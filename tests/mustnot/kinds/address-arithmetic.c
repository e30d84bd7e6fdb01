/* SPDX-License-Identifier: MIT */
/*
 * what: arithmetic on an address kind without naming its unit
 * gcc: invalid operands to binary \+
 * clang: invalid operands to binary expression
 */
#include <theseus/types.h>

paddr_t f(paddr_t pa);
paddr_t f(paddr_t pa)
{
#ifdef WRONG
	return pa + PAGE_SIZE;
#else
	return (paddr_t){pa.v + PAGE_SIZE};
#endif
}
