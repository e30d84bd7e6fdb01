/* SPDX-License-Identifier: MIT */
/*
 * what: an object that a look-up locked kept locked on a way out
 * gcc: none (GCC 12 has no analysis of locks)
 * clang: not held on every path
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

	if (!c)
		return -ESTALE;
#ifdef WRONG
	if (c->count == 0)
		return -EBUSY;
#endif
	c->count--;
	counter_unlock(c);
	return 0;
}
