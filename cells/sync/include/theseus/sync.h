/* SPDX-License-Identifier: MIT */
/*
 * Locks that tasks wait for: mutex, rwlock, semaphore, once. They lie in the state or heap of
 * who uses them; all zero is valid and free. None is moved or freed while somebody holds it
 * or waits for it.
 *
 * Fair: who waits is served in the order of arrival, by hand-over, and nobody overtakes.
 * Taking a free mutex or rwlock and giving it back are one atomic operation each and no call.
 *
 * Deadlines are times of clock_now_ns(); CLOCK_NEVER waits for ever, 0 does not wait: then
 * -ETIMEDOUT. Calls with a deadline are blocking exports where they wait: kill points, which
 * may return -ECANCELED (killed; nothing is held) or unwind. Context: tasks at mask depth 0,
 * no spinlock held; semaphore_post() any.
 *
 * What a task holds when it ends, however it ends, is given on by the ledger. Whoever gets a
 * mutex or an rwlock next is told so, once, by LOCK_ABANDONED: it has the lock, and what the
 * lock guards may be half-changed.
 *
 * Give back by a cleanup, so that unwinding does it too. The second line is also what tells
 * clang's analysis that the lock is held:
 *
 *	r = mutex_lock(&s->lock, CLOCK_NEVER);
 *	if (r < 0)
 *		return r;
 *	OWNED(mutex_drop) struct mutex *held = mutex_held(&s->lock);
 */
#ifndef THESEUS_SYNC_H
#define THESEUS_SYNC_H

#include <theseus/task.h>

#define LOCK_ABANDONED 1  /* locked; the owner before ended without unlocking */
#define SYNC_HELD_MAX 22u /* mutexes and rwlocks that a task may hold at once */

/* Who waits, in order. */
struct sync_queue {
	struct spinlock lock;
	uint32_t reserved;
	struct sync_waiter *first, *last; /* in their tasks' records; never beyond their end */
};

/* ---- mutex ---- */

struct TSA(capability("mutex")) mutex {
	uint64_t owner; /* task id, or 0; with SYNC_WAITERS, SYNC_ABANDONED; atomic */
	uint32_t order; /* class, in checked builds */
	uint32_t reserved;
	struct sync_queue queue;
};

/*
 * int mutex_lock(struct mutex *mutex, uint64_t deadline_ns);
 * Result: 0, LOCK_ABANDONED; -ETIMEDOUT, -ECANCELED; -EDEADLK (this task has it);
 * -ENOLCK (it holds SYNC_HELD_MAX locks).
 */
#define mutex_lock(mutex, deadline_ns) mutex_lock_at_((mutex), (deadline_ns), LOCK_PLACE)

/* void mutex_unlock(struct mutex *mutex): a trap unless this task has it. */

/* ---- rwlock: many readers or one writer ---- */

struct TSA(capability("rwlock")) rwlock {
	uint64_t holder; /* a writer's task id, or SYNC_READERS and their number << 32; as above */
	uint32_t order;
	uint32_t reserved;
	struct sync_queue queue;
};

/*
 * int rwlock_read(struct rwlock *rwlock, uint64_t deadline_ns);
 * int rwlock_write(struct rwlock *rwlock, uint64_t deadline_ns);
 * Results as of mutex_lock(). -EDEADLK whenever this task holds it already, for whatever:
 * neither recursion nor upgrade. A reader that comes after a waiting writer waits.
 * LOCK_ABANDONED is said after a writer only.
 */
#define rwlock_read(rwlock, deadline_ns) rwlock_read_at_((rwlock), (deadline_ns), LOCK_PLACE)
#define rwlock_write(rwlock, deadline_ns) rwlock_write_at_((rwlock), (deadline_ns), LOCK_PLACE)

/* ---- semaphore ---- */

struct semaphore {
	uint32_t count; /* units; with SYNC_WAITERS; atomic */
	uint32_t reserved;
	struct sync_queue queue;
};
#define SEMAPHORE_MAX 0x7fffffffu
#define SEMAPHORE_INIT(units) ((struct semaphore){.count = (units)})

/* Takes a unit. Units belong to nobody: the ledger gives none back. 0, -ETIMEDOUT, -ECANCELED. */
static inline int semaphore_wait(struct semaphore *semaphore, uint64_t deadline_ns) MUST_USE;
/* Any context, interrupt handlers included. Result: 0, -EOVERFLOW (SEMAPHORE_MAX units). */
static inline int semaphore_post(struct semaphore *semaphore);

/* ---- once ---- */

struct once {
	uint32_t done; /* atomic */
	uint32_t reserved;
	struct mutex mutex;
};

/*
 * Calls init(arg) unless an earlier call succeeded; others wait meanwhile. One that returns
 * -errno, faults or is killed does not count: the next caller tries. Result: 0, what init
 * returned below 0, or mutex_lock()'s errors.
 */
static inline int once(struct once *once, int (*init)(void *arg), void *arg,
		       uint64_t deadline_ns) MUST_USE;

/* ======== how it works; nothing below is for use, but for the cleanups ======== */

/* In owner, holder: a task id's slot is below 2^29, so these bits are free. In count: the first. */
#define SYNC_WAITERS (1u << 31)
#define SYNC_READERS (1u << 30)
#define SYNC_ABANDONED (1u << 29)
#define SYNC_FLAGS ((uint64_t)(SYNC_WAITERS | SYNC_READERS | SYNC_ABANDONED))
#define SYNC_READER (1ull << 32)
_Static_assert(TASKS_MAX < SYNC_ABANDONED, "flags share a word with the slot");

/* The place in line of a task: it waits for one thing at a time. */
struct sync_waiter {
	struct sync_waiter *next;
	struct sync_queue *queue; /* what it waits for, or was given by; NULL: it does not wait */
	uint64_t task;
	struct task_event event;
	uint32_t mode;    /* enum lock_kind, or 0: a semaphore's unit */
	uint32_t granted; /* 0, 1, or 2: abandoned; atomic */
};

/* task_head.sync. The task's own, and the ledger's when it has ended. */
struct sync_task {
	uint32_t n; /* entries of held[]; changed with upcalls masked, in step with the locks */
	uint32_t reserved;
	uintptr_t held[SYNC_HELD_MAX]; /* address | enum lock_kind; oldest first */
	struct sync_waiter waiter;
};
_Static_assert(sizeof(struct sync_task) <= sizeof(((struct task_head *)NULL)->sync), "task_head");
_Static_assert(_Alignof(struct mutex) > LOCK_WRITE && _Alignof(struct rwlock) > LOCK_WRITE, "tag");

int mutex_lock_slow(struct mutex *mutex, uint64_t deadline_ns) MUST_USE;
void mutex_unlock_slow(struct mutex *mutex);
int rwlock_read_slow(struct rwlock *rwlock, uint64_t deadline_ns) MUST_USE;
int rwlock_write_slow(struct rwlock *rwlock, uint64_t deadline_ns) MUST_USE;
void rwlock_unlock_slow(struct rwlock *rwlock);
int semaphore_wait_slow(struct semaphore *semaphore, uint64_t deadline_ns) MUST_USE;
int semaphore_post_slow(struct semaphore *semaphore);

/* Masked, which keeps the pointer this task's: it is part of the record, which may not move. */
static inline struct sync_task *sync_self_(uint64_t *ret_id)
{
	struct task_head *head = percpu_read(task);

	*ret_id = head->id;
	return (struct sync_task *)(void *)head->sync;
}

/*
 * One step of a lock's word from @old to @new together with the task's own account. Masked
 * code is not ended by the ledger, so a task that ends has no lock that it does not list.
 */
static inline bool sync_take_(uint64_t *word, uint64_t old, uint64_t new, struct sync_task *task,
			      uintptr_t entry)
{
	if (task->n >= SYNC_HELD_MAX ||
	    !__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	task->held[task->n++] = entry;
	return true;
}

static inline bool sync_give_(uint64_t *word, uint64_t old, uint64_t new, struct sync_task *task,
			      uintptr_t entry)
{
	if (task->n == 0 || task->held[task->n - 1] != entry ||
	    !__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_RELEASE,
					 __ATOMIC_RELAXED))
		return false;
	task->n--;
	return true;
}

static inline MUST_USE int mutex_lock_at_(struct mutex *mutex, uint64_t deadline_ns,
					  const char *place)
{
	struct sync_task *task;
	uint64_t id;
	bool done;

	if (deadline_ns != 0) {
		lock_order_may_block(place);
		lock_order_acquire(&mutex->order, LOCK_MUTEX, place);
	}
	upcall_mask();
	task = sync_self_(&id);
	done = sync_take_(&mutex->owner, 0, id, task, (uintptr_t)mutex | LOCK_MUTEX);
	upcall_unmask();
	return done ? 0 : mutex_lock_slow(mutex, deadline_ns);
}

static inline void mutex_unlock(struct mutex *mutex) RELEASES(*mutex) NO_THREAD_SAFETY
{
	struct sync_task *task;
	uint64_t id;
	bool done;

	upcall_mask();
	task = sync_self_(&id);
	done = sync_give_(&mutex->owner, id, 0, task, (uintptr_t)mutex | LOCK_MUTEX);
	upcall_unmask();
	if (!done)
		mutex_unlock_slow(mutex);
}

/* After mutex_lock(). Result: @mutex. */
static inline struct mutex *mutex_held(struct mutex *mutex) ASSERTS_HELD(*mutex) NO_THREAD_SAFETY
{
	return mutex;
}

/* Cleanup helper. */
static inline __attribute__((unused)) void mutex_drop(struct mutex **mutex) NO_THREAD_SAFETY
{
	if (*mutex)
		mutex_unlock(*mutex);
}

/* -EDEADLK if the task holds it; its readers are known nowhere else. */
static inline int rwlock_may_take_(const struct rwlock *rwlock, const struct sync_task *task)
{
	for (uint32_t i = 0; i < task->n; i++) {
		if ((task->held[i] & ~7ull) == (uintptr_t)rwlock)
			return -EDEADLK;
	}
	return 0;
}

static inline MUST_USE int rwlock_read_at_(struct rwlock *rwlock, uint64_t deadline_ns,
					   const char *place)
{
	uint64_t id, old = __atomic_load_n(&rwlock->holder, __ATOMIC_RELAXED);
	struct sync_task *task;
	bool done;
	int r;

	if (deadline_ns != 0) {
		lock_order_may_block(place);
		lock_order_acquire(&rwlock->order, LOCK_READ, place);
	}
	upcall_mask();
	task = sync_self_(&id);
	r = rwlock_may_take_(rwlock, task);
	done = r == 0 && (old == 0 || (old & SYNC_FLAGS) == SYNC_READERS) &&
	       sync_take_(&rwlock->holder, old, (old | SYNC_READERS) + SYNC_READER, task,
			  (uintptr_t)rwlock | LOCK_READ);
	upcall_unmask();
	return done || r < 0 ? r : rwlock_read_slow(rwlock, deadline_ns);
}

static inline MUST_USE int rwlock_write_at_(struct rwlock *rwlock, uint64_t deadline_ns,
					    const char *place)
{
	struct sync_task *task;
	uint64_t id;
	bool done;
	int r;

	if (deadline_ns != 0) {
		lock_order_may_block(place);
		lock_order_acquire(&rwlock->order, LOCK_WRITE, place);
	}
	upcall_mask();
	task = sync_self_(&id);
	r = rwlock_may_take_(rwlock, task);
	done = r == 0 && sync_take_(&rwlock->holder, 0, id, task, (uintptr_t)rwlock | LOCK_WRITE);
	upcall_unmask();
	return done || r < 0 ? r : rwlock_write_slow(rwlock, deadline_ns);
}

/* Of a reader or the writer: a trap unless this task is one. */
static inline void rwlock_unlock(struct rwlock *rwlock) RELEASES_ANY(*rwlock) NO_THREAD_SAFETY
{
	uint64_t id, old = __atomic_load_n(&rwlock->holder, __ATOMIC_RELAXED);
	struct sync_task *task;
	bool done;

	upcall_mask();
	task = sync_self_(&id);
	if (old == id)
		done = sync_give_(&rwlock->holder, id, 0, task, (uintptr_t)rwlock | LOCK_WRITE);
	else
		done = (old & SYNC_FLAGS) == SYNC_READERS &&
		       sync_give_(&rwlock->holder, old, old >> 32 == 1 ? 0 : old - SYNC_READER,
				  task, (uintptr_t)rwlock | LOCK_READ);
	upcall_unmask();
	if (!done)
		rwlock_unlock_slow(rwlock);
}

/* After rwlock_read() and rwlock_write(). Result: @rwlock. */
static inline struct rwlock *rwlock_read_held(struct rwlock *rwlock)
	ASSERTS_HELD_SHARED(*rwlock) NO_THREAD_SAFETY
{
	return rwlock;
}

static inline struct rwlock *rwlock_write_held(struct rwlock *rwlock)
	ASSERTS_HELD(*rwlock) NO_THREAD_SAFETY
{
	return rwlock;
}

/* Cleanup helper. */
static inline __attribute__((unused)) void rwlock_drop(struct rwlock **rwlock) NO_THREAD_SAFETY
{
	if (*rwlock)
		rwlock_unlock(*rwlock);
}

static inline int semaphore_wait(struct semaphore *semaphore, uint64_t deadline_ns)
{
	uint32_t old = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);

	if (deadline_ns != 0)
		lock_order_may_block(LOCK_PLACE);
	while (old != 0 && !(old & SYNC_WAITERS)) {
		if (__atomic_compare_exchange_n(&semaphore->count, &old, old - 1, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return 0;
	}
	return semaphore_wait_slow(semaphore, deadline_ns);
}

static inline int semaphore_post(struct semaphore *semaphore)
{
	uint32_t old = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);

	while (old < SEMAPHORE_MAX) {
		if (__atomic_compare_exchange_n(&semaphore->count, &old, old + 1, false,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return 0;
	}
	return semaphore_post_slow(semaphore);
}

static inline int once(struct once *once, int (*init)(void *arg), void *arg, uint64_t deadline_ns)
{
	int r;

	if (__atomic_load_n(&once->done, __ATOMIC_ACQUIRE))
		return 0;
	r = mutex_lock(&once->mutex, deadline_ns);
	if (r < 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&once->mutex);
	if (__atomic_load_n(&once->done, __ATOMIC_RELAXED))
		return 0;
	r = init(arg);
	if (r < 0)
		return r;
	__atomic_store_n(&once->done, 1, __ATOMIC_RELEASE);
	return 0;
}

#endif
