/* SPDX-License-Identifier: MIT */
/*
 * what: a member of a struct read and written without the lock that its role names
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: (reading|writing) variable 'count' requires holding spinlock 'counter_role'
 */
#include <theseus/spinlock.h>

SPINLOCK_ROLE(counter_role);

struct counter {
	struct spinlock lock;
	uint64_t count GUARDED_BY(counter_role);
};

uint64_t f(struct counter *c);
uint64_t f(struct counter *c)
{
#ifdef WRONG
	return ++c->count;
#else
	uint64_t n;

	spin_lock_as(&c->lock, counter_role);
	n = ++c->count;
	spin_unlock_as(&c->lock, counter_role);
	return n;
#endif
}
