/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the other CPUs stand still
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/upcall.h>

int f(unsigned *ret);
int f(unsigned *ret)
{
#ifdef WRONG
	cpu_park_others(1000, ret);
	return 0;
#else
	return cpu_park_others(1000, ret);
#endif
}
