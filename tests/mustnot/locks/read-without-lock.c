/* SPDX-License-Identifier: MIT */
/*
 * what: a guarded variable read without its lock
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: reading variable 'count' requires holding spinlock
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

uint64_t f(void);
uint64_t f(void)
{
#ifdef WRONG
	return count;
#else
	uint64_t n;

	spin_lock(&lock);
	n = count;
	spin_unlock(&lock);
	return n;
#endif
}
