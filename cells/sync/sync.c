/* SPDX-License-Identifier: MIT */
#include <theseus/ledger.h>
#include <theseus/switch.h>

#include "internal.h"

CELL_INFO(.name = "sync", .version = "1.0.0", .summary = "mutex, rwlock, semaphore",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "notes the locks that a task holds by address and kind, in one word");

void sync_forget(struct sync_task *task, uintptr_t entry)
{
	uint32_t i = task->n;

	while (i > 0 && task->held[i - 1] != entry)
		i--;
	if (i == 0)
		TRAP("a lock is unlocked by a task that does not hold it");
	for (; i < task->n; i++)
		task->held[i - 1] = task->held[i];
	task->n--;
}

/* ---- the ledger ---- */

static void give_on_mutex(struct mutex *mutex)
{
	spin_lock(&mutex->queue.lock);
	mutex_pass(mutex, true);
	spin_unlock(&mutex->queue.lock);
}

static void give_on_rwlock(struct rwlock *rwlock, bool writer)
{
	spin_lock(&rwlock->queue.lock);
	rwlock_pass(rwlock, writer, writer);
	spin_unlock(&rwlock->queue.lock);
}

static int64_t leave_line(void *arg)
{
	wait_leave(arg);
	return 0;
}

/* The newest lock, which is struck first: were its memory gone, the rest would follow. */
static int64_t give_on(void *arg)
{
	struct sync_task *task = arg;
	uintptr_t entry = task->held[--task->n];
	void *lock = (void *)(entry & ~7ull);

	if ((entry & 7) == LOCK_MUTEX)
		give_on_mutex(lock);
	else
		give_on_rwlock(lock, (entry & 7) == LOCK_WRITE);
	return 0;
}

/*
 * The locks lie in memory that the task was given by others or had itself. If that is gone,
 * looking faults, and there is nobody left to give the lock to.
 */
static void task_ended(uint64_t id)
{
	struct task_head *head = task_head(id);
	struct sync_task *task;
	int64_t value;

	if (!head)
		return;
	task = (struct sync_task *)(void *)head->sync;
	if (task->waiter.queue && switch_protect(leave_line, &task->waiter, &value) < 0)
		task->waiter.queue = NULL;
	while (task->n > 0) {
		if (switch_protect(give_on, task, &value) < 0)
			continue; /* recorded as a fault */
	}
}
CELL_PROVIDE(ledger_ops, sync) = {.task_ended = task_ended};
