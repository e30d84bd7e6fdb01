/* SPDX-License-Identifier: MIT */
/*
 * what: a lock given back that is not held
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: releasing (spinlock|mutex) .* that was not held
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

void f(void);
void f(void)
{
#ifdef WRONG
	spin_lock(&lock);
	spin_unlock(&lock);
	spin_unlock(&lock);
#else
	spin_lock(&lock);
	spin_unlock(&lock);
#endif
}
