/* SPDX-License-Identifier: MIT */
/* While somebody waits the count is 0 with SYNC_WAITERS, and units go to who is first. */
#include "internal.h"

CELL_EXPORT_BLOCKING(semaphore_wait_slow);
CELL_EXPORT(semaphore_post_slow);

static bool change(struct semaphore *semaphore, uint32_t *old, uint32_t new)
{
	return __atomic_compare_exchange_n(&semaphore->count, old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* Result: 0; -EAGAIN = the task is in the queue. */
static int take_or_queue(struct semaphore *semaphore, bool wait) REQUIRES(semaphore->queue.lock)
{
	uint32_t old = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);

	for (;;) {
		if (old != 0 && !(old & SYNC_WAITERS)) {
			if (change(semaphore, &old, old - 1))
				return 0;
		} else if (!wait) {
			return -ETIMEDOUT;
		} else if (change(semaphore, &old, SYNC_WAITERS)) {
			break;
		}
	}
	wait_enter(&semaphore->queue, 0);
	return -EAGAIN;
}

int semaphore_wait_slow(struct semaphore *semaphore, uint64_t deadline_ns)
{
	int r;

	if (!wait_resumes(&semaphore->queue)) {
		spin_lock(&semaphore->queue.lock);
		r = take_or_queue(semaphore, deadline_ns != 0);
		spin_unlock(&semaphore->queue.lock);
		if (r != -EAGAIN)
			return r;
	}
	return wait_granted(deadline_ns);
}

void semaphore_left(struct semaphore *semaphore)
{
	if (!semaphore->queue.first)
		__atomic_store_n(&semaphore->count, 0, __ATOMIC_RELAXED);
}

int semaphore_pass(struct semaphore *semaphore)
{
	struct sync_waiter *next = wait_pop(&semaphore->queue);
	uint32_t old = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);

	if (next) {
		semaphore_left(semaphore);
		wait_grant(next, 1);
		return 0;
	}
	do {
		if (old >= SEMAPHORE_MAX)
			return -EOVERFLOW;
	} while (!change(semaphore, &old, old + 1));
	return 0;
}

int semaphore_post_slow(struct semaphore *semaphore)
{
	int r;

	spin_lock(&semaphore->queue.lock);
	r = semaphore_pass(semaphore);
	spin_unlock(&semaphore->queue.lock);
	return r;
}
