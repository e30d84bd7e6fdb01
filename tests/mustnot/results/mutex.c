/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the mutex was locked: a deadline passes, a kill breaks off
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/sync.h>

int f(struct mutex *m);
int f(struct mutex *m)
{
#ifdef WRONG
	mutex_lock(m, 0);
	return 0;
#else
	return mutex_lock(m, 0);
#endif
}
