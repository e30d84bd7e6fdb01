/* SPDX-License-Identifier: MIT */
/*
 * what: a function that needs the lock of its object called under that of another
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: calling function 'count_up' requires holding spinlock
 */
#include <theseus/spinlock.h>

struct counter {
	struct spinlock lock;
	uint64_t count;
};
void count_up(struct counter *c) REQUIRES(c->lock);

void f(struct counter *a, struct counter *b);
void f(struct counter *a, struct counter *b)
{
#ifdef WRONG
	spin_lock(&b->lock);
	count_up(a);
	spin_unlock(&b->lock);
#else
	(void)b;
	spin_lock(&a->lock);
	count_up(a);
	spin_unlock(&a->lock);
#endif
}
