/* SPDX-License-Identifier: MIT */
/*
 * what: a lock kept on one path out of the function
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: not held on every path|still held at the end of function
 */
#include <theseus/spinlock.h>

struct spinlock lock;
uint64_t count GUARDED_BY(lock);

int f(int stop);
int f(int stop)
{
#ifdef WRONG
	spin_lock(&lock);
	if (stop)
		return -EBUSY;
	spin_unlock(&lock);
	return 0;
#else
	spin_lock(&lock);
	count++;
	spin_unlock(&lock);
	return stop;
#endif
}
