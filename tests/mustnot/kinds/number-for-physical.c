/* SPDX-License-Identifier: MIT */
/*
 * what: a plain number where a physical address is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/mapped.h>

int f(uint64_t at, struct mapped *ret);
int f(uint64_t at, struct mapped *ret)
{
#ifdef WRONG
	return mapped_create_device(at, 4096, ret);
#else
	return mapped_create_device((paddr_t){at}, 4096, ret);
#endif
}
