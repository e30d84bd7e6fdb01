/* SPDX-License-Identifier: MIT */
/*
 * A mutex somebody waits for is handed to the next in line: its word is never 0 meanwhile, so
 * nobody overtakes. The word of one with SYNC_WAITERS changes only under the queue's lock.
 */
#include "internal.h"

CELL_EXPORT_BLOCKING(mutex_lock_slow);
CELL_EXPORT(mutex_unlock_slow);

#define ENTRY(mutex) ((uintptr_t)(mutex) | LOCK_MUTEX)

/* Result: 0, LOCK_ABANDONED; -EAGAIN = the task is in the queue. */
static int take_or_queue(struct mutex *mutex, struct sync_task *task, uint64_t id, bool wait)
	REQUIRES(mutex->queue.lock)
{
	uint64_t old = __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED);

	for (;;) {
		if ((old & ~SYNC_FLAGS) == id)
			return -EDEADLK;
		if ((old & ~(uint64_t)SYNC_ABANDONED) == 0) {
			if (sync_take_(&mutex->owner, old, id, task, ENTRY(mutex)))
				return old ? LOCK_ABANDONED : 0;
			old = __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED);
			continue;
		}
		if (!wait)
			return -ETIMEDOUT;
		if (__atomic_compare_exchange_n(&mutex->owner, &old, old | SYNC_WAITERS, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			break;
	}
	wait_enter(&mutex->queue, LOCK_MUTEX);
	return -EAGAIN;
}

int mutex_lock_slow(struct mutex *mutex, uint64_t deadline_ns)
{
	uint64_t id;
	struct sync_task *task = sync_self(&id);
	int r;

	if (!wait_resumes(&mutex->queue)) {
		if (task->n >= SYNC_HELD_MAX)
			return -ENOLCK;
		spin_lock(&mutex->queue.lock);
		r = take_or_queue(mutex, task, id, deadline_ns != 0);
		spin_unlock(&mutex->queue.lock);
		if (r != -EAGAIN)
			return r;
	}
	return wait_granted(deadline_ns);
}

void mutex_pass(struct mutex *mutex, bool abandoned)
{
	struct sync_waiter *next = wait_pop(&mutex->queue);
	uint64_t owner = abandoned ? SYNC_ABANDONED : 0;

	if (next)
		owner = next->task | (mutex->queue.first ? SYNC_WAITERS : 0);
	__atomic_store_n(&mutex->owner, owner, __ATOMIC_RELEASE);
	if (next)
		wait_grant(next, abandoned ? 2 : 1);
}

void mutex_left(struct mutex *mutex)
{
	if (!mutex->queue.first)
		__atomic_and_fetch(&mutex->owner, ~(uint64_t)SYNC_WAITERS, __ATOMIC_RELAXED);
}

void mutex_unlock_slow(struct mutex *mutex)
{
	uint64_t id;
	struct sync_task *task = sync_self(&id);

	if ((__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) & ~SYNC_FLAGS) != id)
		TRAP("a mutex is unlocked by a task that does not hold it");
	spin_lock(&mutex->queue.lock);
	sync_forget(task, ENTRY(mutex));
	mutex_pass(mutex, false);
	spin_unlock(&mutex->queue.lock);
}
