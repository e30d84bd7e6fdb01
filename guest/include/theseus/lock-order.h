/* SPDX-License-Identifier: MIT */
/*
 * Lock order, in builds with THESEUS_CHECKED (all cells of a system are built alike). A
 * finding is a trap (theseus/trap.h) of the task that is about to go wrong, naming both locks:
 *  - a lock is taken while another is held, and somewhere it was the other way round,
 *    directly or by way of further locks; or a lock is taken again by who holds it
 *  - something that may block is called while a spinlock is held or upcalls are masked
 *  - a task ends by itself while it holds a mutex or an rwlock
 * Two locks of one class may be held at once if they are taken in ascending order of address.
 *
 * Locks are told apart by class, kept in the lock itself: one in the state of a cell is a
 * class of its own; others are of one class if they were first taken at the same place.
 *
 * The checker is the cell `sync`; cells that are linked before it are checked from its init
 * on. Without THESEUS_CHECKED all of this is nothing.
 */
#ifndef THESEUS_LOCK_ORDER_H
#define THESEUS_LOCK_ORDER_H

#include <theseus/percpu.h>

enum lock_kind {
	LOCK_SPIN = 1,
	LOCK_MUTEX,
	LOCK_READ, /* an rwlock, as a reader */
	LOCK_WRITE,
};

#define LOCK_STRING_(x) #x
#define LOCK_STRING(x) LOCK_STRING_(x)
#define LOCK_PLACE __FILE__ ":" LOCK_STRING(__LINE__)

/* CELL_PROVIDE(lock_order_ops, sync): one. */
struct lock_order_ops {
	/*
	 * Before a lock is waited for. @word is its own: the class is in bits 1..31, bit 0 is
	 * left alone. @place: a literal "file:line".
	 */
	void (*acquire)(uint32_t *word, enum lock_kind kind, const char *place);
	/* Before something that may block. */
	void (*may_block)(const char *place);
	/* By the task, before it ends. */
	void (*task_ends)(void);
};
IFACE_DEFINE(lock_order_ops);

#if defined(THESEUS_CHECKED) && !__STDC_HOSTED__
static inline const struct lock_order_ops *lock_order_ops_(void)
{
	const struct iface_slot *slot = percpu_read(lock_order);

	return slot ? *(const void *const volatile *)&slot->ops : NULL;
}

static inline void lock_order_acquire(uint32_t *word, enum lock_kind kind, const char *place)
{
	const struct lock_order_ops *ops = lock_order_ops_();

	if (ops)
		ops->acquire(word, kind, place);
}

static inline void lock_order_may_block(const char *place)
{
	const struct lock_order_ops *ops = lock_order_ops_();

	if (ops)
		ops->may_block(place);
}

static inline void lock_order_task_ends(void)
{
	const struct lock_order_ops *ops = lock_order_ops_();

	if (ops)
		ops->task_ends();
}
#else
static inline void lock_order_acquire(uint32_t *word, enum lock_kind kind, const char *place)
{
	(void)word;
	(void)kind;
	(void)place;
}

static inline void lock_order_may_block(const char *place)
{
	(void)place;
}

static inline void lock_order_task_ends(void)
{
}
#endif

#endif
