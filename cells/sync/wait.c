/* SPDX-License-Identifier: MIT */
/*
 * Standing in line. A waiter lies in its task's record. It is linked into the queue until it
 * is granted what it waits for, or leaves; `queue` stays set until it has gone, so whoever
 * cleans up after a task knows where to look. Whoever grants touches the waiter only under
 * the queue's lock, and the waiter goes under it, so neither outlives the other's look.
 */
#include "internal.h"

struct sync_task *sync_self(uint64_t *ret_id)
{
	struct sync_task *task;

	upcall_mask();
	task = sync_self_(ret_id);
	upcall_unmask();
	return task;
}

bool wait_resumes(const struct sync_queue *queue)
{
	uint64_t id;

	return sync_self(&id)->waiter.queue == queue;
}

void wait_enter(struct sync_queue *queue, uint32_t mode)
{
	uint64_t id;
	struct sync_waiter *w = &sync_self(&id)->waiter;

	w->next = NULL;
	w->queue = queue;
	w->task = id;
	w->mode = mode;
	w->granted = 0;
	if (queue->last)
		queue->last->next = w;
	else
		queue->first = w;
	queue->last = w;
}

struct sync_waiter *wait_pop(struct sync_queue *queue)
{
	struct sync_waiter *w = queue->first;

	if (!w)
		return NULL;
	queue->first = w->next;
	if (!queue->first)
		queue->last = NULL;
	return w;
}

void wait_grant(struct sync_waiter *w, uint32_t granted)
{
	__atomic_store_n(&w->granted, granted, __ATOMIC_RELEASE);
	task_event_signal(&w->event);
}

static void unlink_waiter(struct sync_queue *queue, const struct sync_waiter *w)
{
	struct sync_waiter *before = NULL;

	for (struct sync_waiter *at = queue->first; at != w; at = at->next)
		before = at;
	if (before)
		before->next = w->next;
	else
		queue->first = w->next;
	if (queue->last == w)
		queue->last = before;
}

/* The queue's lock is that of the lock that @w->mode says: more than the analysis can know. */
static void left(const struct sync_waiter *w) NO_THREAD_SAFETY
{
	if (w->mode == LOCK_MUTEX)
		mutex_left(SYNC_OF(mutex, w->queue));
	else if (w->mode == LOCK_READ || w->mode == LOCK_WRITE)
		rwlock_left(SYNC_OF(rwlock, w->queue));
	else
		semaphore_left(SYNC_OF(semaphore, w->queue));
}

static void pass(const struct sync_waiter *w) NO_THREAD_SAFETY
{
	bool abandoned = w->granted == 2;

	if (w->mode == LOCK_MUTEX)
		mutex_pass(SYNC_OF(mutex, w->queue), abandoned);
	else if (w->mode == LOCK_READ || w->mode == LOCK_WRITE)
		rwlock_pass(SYNC_OF(rwlock, w->queue), w->mode == LOCK_WRITE, abandoned);
	else
		(void)semaphore_pass(SYNC_OF(semaphore, w->queue));
}

/* The word in the task's account. */
static uintptr_t entry_of(const struct sync_waiter *w)
{
	if (w->mode == LOCK_MUTEX)
		return (uintptr_t)SYNC_OF(mutex, w->queue) | LOCK_MUTEX;
	return (uintptr_t)SYNC_OF(rwlock, w->queue) | w->mode;
}

void wait_leave(struct sync_waiter *w)
{
	struct sync_queue *queue = w->queue;

	if (!queue)
		return;
	spin_lock(&queue->lock);
	if (w->granted) {
		pass(w);
	} else {
		unlink_waiter(queue, w);
		left(w);
	}
	w->queue = NULL;
	spin_unlock(&queue->lock);
}

static void wait_drop(struct sync_waiter **w)
{
	if (*w)
		wait_leave(*w);
}

/* The grant was seen, or the deadline came: which of the two is decided here. */
static int take(struct sync_task *task, struct sync_waiter *w, int r)
{
	struct sync_queue *queue = w->queue;

	spin_lock(&queue->lock);
	if (w->granted) {
		r = w->granted == 2 ? LOCK_ABANDONED : 0;
		if (w->mode)
			task->held[task->n++] = entry_of(w);
	} else {
		unlink_waiter(queue, w);
		left(w);
	}
	w->queue = NULL;
	spin_unlock(&queue->lock);
	return r;
}

int wait_granted(uint64_t deadline_ns)
{
	uint64_t id, seen;
	struct sync_task *task = sync_self(&id);
	OWNED(wait_drop) struct sync_waiter *w = &task->waiter;
	int r = 0;

	for (;;) {
		seen = task_event_count(&w->event);
		if (__atomic_load_n(&w->granted, __ATOMIC_ACQUIRE))
			break;
		r = task_event_wait(&w->event, seen, deadline_ns);
		if (r < 0)
			break;
	}
	if (r == -ERESTART_CELL) {
		(void)TAKE(w); /* keeps its place: the call that starts over finds it there */
		return r;
	}
	if (r == -ECANCELED)
		return r;
	return take(task, TAKE(w), r);
}
