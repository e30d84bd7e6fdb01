/* SPDX-License-Identifier: MIT */
/*
 * what: a guarded variable written without its lock
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: writing variable 'count' requires holding spinlock
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

void f(void);
void f(void)
{
#ifdef WRONG
	count++;
#else
	spin_lock(&lock);
	count++;
	spin_unlock(&lock);
#endif
}
