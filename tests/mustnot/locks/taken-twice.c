/* SPDX-License-Identifier: MIT */
/*
 * what: a lock taken while it is held: it is not recursive
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: acquiring (spinlock|mutex) .* that is already held
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

void f(void);
void f(void)
{
#ifdef WRONG
	spin_lock(&lock);
	spin_lock(&lock);
	spin_unlock(&lock);
#else
	spin_lock(&lock);
	spin_unlock(&lock);
#endif
}
