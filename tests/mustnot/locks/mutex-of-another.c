/* SPDX-License-Identifier: MIT */
/*
 * what: a function that needs a mutex called under that of another object
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: calling function 'pay' requires holding mutex
 */
#include <theseus/sync.h>

struct account {
	struct mutex lock;
	uint64_t sum;
};
void pay(struct account *a) REQUIRES(a->lock);

int f(struct account *a, struct account *b);
int f(struct account *a, struct account *b)
{
#ifdef WRONG
	int r = mutex_lock(&b->lock, CLOCK_NEVER);

	if (r < 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&b->lock);

	pay(a);
	return held == &b->lock;
#else
	int r = mutex_lock(&a->lock, CLOCK_NEVER);

	if (r < 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&a->lock);

	pay(a);
	return held == &b->lock;
#endif
}
