/* SPDX-License-Identifier: MIT */
/*
 * what: a function that needs a mutex called without it
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: calling function 'pay' requires holding mutex
 */
#include <theseus/sync.h>

struct account {
	struct mutex lock;
	uint64_t sum;
};
void pay(struct account *a) REQUIRES(a->lock);

int f(struct account *a);
int f(struct account *a)
{
#ifdef WRONG
	pay(a);
	return 0;
#else
	int r = mutex_lock(&a->lock, CLOCK_NEVER);

	if (r < 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&a->lock);

	pay(a);
	return held ? 0 : -EINVAL;
#endif
}
