/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether a fault ended the protected call
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/switch.h>

int64_t fn(void *arg);
int f(int64_t *ret);
int f(int64_t *ret)
{
#ifdef WRONG
	switch_protect(fn, NULL, ret);
	return 0;
#else
	return switch_protect(fn, NULL, ret);
#endif
}
