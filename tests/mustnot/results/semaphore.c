/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether there was a unit
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/sync.h>

int f(struct semaphore *s);
int f(struct semaphore *s)
{
#ifdef WRONG
	semaphore_wait(s, 0);
	return 0;
#else
	return semaphore_wait(s, 0);
#endif
}
