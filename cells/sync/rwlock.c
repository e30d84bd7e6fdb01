/* SPDX-License-Identifier: MIT */
/*
 * First come, first served: whoever waits is let in when it is first in line, readers
 * together with the readers behind them. With SYNC_WAITERS set newcomers queue, and only the
 * number of readers changes without the queue's lock.
 */
#include "internal.h"

CELL_EXPORT_BLOCKING(rwlock_read_slow);
CELL_EXPORT_BLOCKING(rwlock_write_slow);
CELL_EXPORT(rwlock_unlock_slow);

static uint64_t load(const struct rwlock *rwlock)
{
	return __atomic_load_n(&rwlock->holder, __ATOMIC_RELAXED);
}

static bool change(struct rwlock *rwlock, uint64_t *old, uint64_t new)
{
	return __atomic_compare_exchange_n(&rwlock->holder, old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* The word after @mode got in; 0: it cannot. */
static uint64_t entered(uint64_t old, uint32_t mode, uint64_t id)
{
	bool free = (old & ~(uint64_t)(SYNC_ABANDONED | SYNC_WAITERS)) == 0;

	if (mode == LOCK_WRITE)
		return free ? id | (old & SYNC_WAITERS) : 0;
	if (!free && !(old & SYNC_READERS))
		return 0;
	return ((old & ~(uint64_t)SYNC_ABANDONED) | SYNC_READERS) + SYNC_READER;
}

/* Result: 0, LOCK_ABANDONED; -EAGAIN = the task is in the queue. */
static int take_or_queue(struct rwlock *rwlock, uint32_t mode, struct sync_task *task, uint64_t id,
			 bool wait) REQUIRES(rwlock->queue.lock)
{
	uint64_t old = load(rwlock), new;

	for (;;) {
		new = old &SYNC_WAITERS ? 0 : entered(old, mode, id);
		if (new) {
			if (sync_take_(&rwlock->holder, old, new, task, (uintptr_t)rwlock | mode))
				return old & SYNC_ABANDONED ? LOCK_ABANDONED : 0;
			old = load(rwlock);
			continue;
		}
		if (!wait)
			return -ETIMEDOUT;
		if (change(rwlock, &old, old | SYNC_WAITERS))
			break;
	}
	wait_enter(&rwlock->queue, mode);
	return -EAGAIN;
}

static int lock_slow(struct rwlock *rwlock, uint32_t mode, uint64_t deadline_ns)
{
	uint64_t id;
	struct sync_task *task = sync_self(&id);
	int r;

	if (!wait_resumes(&rwlock->queue)) {
		if (task->n >= SYNC_HELD_MAX)
			return -ENOLCK;
		spin_lock(&rwlock->queue.lock);
		r = take_or_queue(rwlock, mode, task, id, deadline_ns != 0);
		spin_unlock(&rwlock->queue.lock);
		if (r != -EAGAIN)
			return r;
	}
	return wait_granted(deadline_ns);
}

int rwlock_read_slow(struct rwlock *rwlock, uint64_t deadline_ns)
{
	return lock_slow(rwlock, LOCK_READ, deadline_ns);
}

int rwlock_write_slow(struct rwlock *rwlock, uint64_t deadline_ns)
{
	return lock_slow(rwlock, LOCK_WRITE, deadline_ns);
}

/* Lets in who is first as long as that is possible; nobody waiting is said in the word. */
static void admit(struct rwlock *rwlock) REQUIRES(rwlock->queue.lock)
{
	const struct sync_waiter *first;
	uint64_t old, new;

	for (;;) {
		first = rwlock->queue.first;
		old = load(rwlock);
		new = first ? entered(old, first->mode, first->task)
			    : old & ~(uint64_t)SYNC_WAITERS;
		if (new == old || (first && !new))
			return;
		if (first && !first->next)
			new &= ~(uint64_t)SYNC_WAITERS;
		if (change(rwlock, &old, new) && first)
			wait_grant(wait_pop(&rwlock->queue), old & SYNC_ABANDONED ? 2 : 1);
	}
}

void rwlock_left(struct rwlock *rwlock)
{
	admit(rwlock);
}

void rwlock_pass(struct rwlock *rwlock, bool writer, bool abandoned)
{
	uint64_t old = load(rwlock), new;

	do {
		if (writer || old >> 32 == 1)
			new = old &(SYNC_WAITERS | SYNC_ABANDONED);
		else
			new = old - SYNC_READER;
		if (abandoned)
			new |= SYNC_ABANDONED;
	} while (!change(rwlock, &old, new));
	admit(rwlock);
}

void rwlock_unlock_slow(struct rwlock *rwlock)
{
	uint64_t id, word = load(rwlock);
	struct sync_task *task = sync_self(&id);
	/* without its flag a number of readers is the id of a task in slot 0 */
	bool writer = !(word & SYNC_READERS) && (word & ~SYNC_FLAGS) == id;

	spin_lock(&rwlock->queue.lock);
	sync_forget(task, (uintptr_t)rwlock | (writer ? LOCK_WRITE : LOCK_READ));
	rwlock_pass(rwlock, writer, false);
	spin_unlock(&rwlock->queue.lock);
}
