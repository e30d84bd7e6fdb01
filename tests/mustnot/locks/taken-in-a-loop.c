/* SPDX-License-Identifier: MIT */
/*
 * what: a lock taken anew in each round and given back once
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: held at start of each|not held on every path|was not held
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

void f(int n);
void f(int n)
{
#ifdef WRONG
	while (n--) {
		spin_lock(&lock);
		count++;
	}
	spin_unlock(&lock);
#else
	spin_lock(&lock);
	while (n--)
		count++;
	spin_unlock(&lock);
#endif
}
