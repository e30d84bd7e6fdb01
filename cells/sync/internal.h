/* SPDX-License-Identifier: MIT */
#ifndef SYNC_INTERNAL_H
#define SYNC_INTERNAL_H

#include <theseus/sync.h>

/* The calling task's. Stays true: a task's record does not move. */
struct sync_task *sync_self(uint64_t *ret_id);

/* ---- wait.c: standing in line. The queue's lock is held unless said otherwise ---- */

/* The calling task waits in @queue already: its call was broken off by a swap. No lock. */
bool wait_resumes(const struct sync_queue *queue);
/* The calling task joins @queue, for @mode. */
void wait_enter(struct sync_queue *queue, uint32_t mode) REQUIRES(queue->lock);
/* Takes out the first. NULL: nobody waits. */
struct sync_waiter *wait_pop(struct sync_queue *queue) REQUIRES(queue->lock);
/* @waiter, which was popped, has what it waited for. @granted: 1, or 2: abandoned. */
void wait_grant(struct sync_waiter *waiter, uint32_t granted);
/*
 * Waits for the grant of what wait_enter() was for; no lock. Result: 0, LOCK_ABANDONED, with the
 * lock in the task's account; -ETIMEDOUT, -ECANCELED: in no queue any more; -ERESTART_CELL: still
 * in it.
 */
int wait_granted(uint64_t deadline_ns) MUST_USE;
/* Out of the line, wherever it stands; what was granted meanwhile is given on. No lock. */
void wait_leave(struct sync_waiter *waiter);

/* ---- sync.c ---- */

/* Strikes a lock from the calling task's account. A trap if it is not there. Masked. */
void sync_forget(struct sync_task *task, uintptr_t entry);

/* ---- by kind of lock, for wait.c and the ledger: the queue's lock is held ---- */

/* Somebody left @queue without having got anything: its word may have to change. */
void mutex_left(struct mutex *mutex) REQUIRES(mutex->queue.lock);
void rwlock_left(struct rwlock *rwlock) REQUIRES(rwlock->queue.lock);
void semaphore_left(struct semaphore *semaphore) REQUIRES(semaphore->queue.lock);

/* The owner gives it on to who is next. */
void mutex_pass(struct mutex *mutex, bool abandoned) REQUIRES(mutex->queue.lock);
void rwlock_pass(struct rwlock *rwlock, bool writer, bool abandoned) REQUIRES(rwlock->queue.lock);
int semaphore_pass(struct semaphore *semaphore) REQUIRES(semaphore->queue.lock);

#define SYNC_OF(type, queue_)                                                                      \
	((struct type *)(void *)((char *)(queue_)-offsetof(struct type, queue)))

#endif
