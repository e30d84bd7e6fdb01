/* SPDX-License-Identifier: MIT */
/*
 * what: one kind of lock where another is asked for
 * gcc: incompatible pointer type
 * clang: incompatible pointer types
 */
#include <theseus/sync.h>

int f(struct mutex *m, struct rwlock *w);
int f(struct mutex *m, struct rwlock *w)
{
#ifdef WRONG
	(void)m;
	return mutex_lock(w, 0);
#else
	(void)w;
	return mutex_lock(m, 0);
#endif
}
