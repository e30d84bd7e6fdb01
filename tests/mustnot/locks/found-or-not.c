/* SPDX-License-Identifier: MIT */
/*
 * what: what a look-up locks used without a look whether it found anything
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: writing variable 'count' requires holding spinlock
 */
#include <theseus/spinlock.h>

SPINLOCK_ROLE(counter_role);

struct counter {
	struct spinlock lock;
	uint64_t count GUARDED_BY(counter_role);
};
struct counter *counter_lock(uint32_t id) TRY_ACQUIRES(true, counter_role);
void counter_unlock(struct counter *c) RELEASES(counter_role);

int f(uint32_t id);
int f(uint32_t id)
{
	struct counter *c = counter_lock(id);

#ifndef WRONG
	if (!c)
		return -ESTALE;
#endif
	c->count = 0;
	counter_unlock(c);
	return 0;
}
