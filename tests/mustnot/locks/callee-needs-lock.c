/* SPDX-License-Identifier: MIT */
/*
 * what: a function that needs the lock called without it
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: calling function 'count_up' requires holding spinlock
 */
#include <theseus/spinlock.h>

struct counter {
	struct spinlock lock;
	uint64_t count;
};
void count_up(struct counter *c) REQUIRES(c->lock);

void f(struct counter *c);
void f(struct counter *c)
{
#ifdef WRONG
	count_up(c);
#else
	spin_lock(&c->lock);
	count_up(c);
	spin_unlock(&c->lock);
#endif
}
