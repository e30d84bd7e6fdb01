/* SPDX-License-Identifier: MIT */
/*
 * Spinlocks: upcalls masked plus an atomic flag. All zero is unlocked. Held shortly, never
 * across anything that may block; safe between tasks, interrupt handlers and CPUs. Not
 * recursive. At most SPINLOCKS_HELD_MAX at a time, unlocked in any order.
 *
 * A CPU knows which ones it holds, so a fault releases those that the faulting code took
 * (spin_release_to). Cleanups run after that: they never release a spinlock, and must not
 * trust that what one guards is consistent.
 *
 * Checked builds (theseus/lock-order.h) look at the order in which locks are taken.
 */
#ifndef THESEUS_SPINLOCK_H
#define THESEUS_SPINLOCK_H

#include <theseus/lock-order.h>
#include <theseus/mask.h>
#include <theseus/trap.h>

#ifdef __clang__
#define TSA(x) __attribute__((x))
#else
#define TSA(x) /* GCC 12 cannot parse the arguments */
#endif

#define GUARDED_BY(lock) TSA(guarded_by(lock))
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) TSA(requires_shared_capability(__VA_ARGS__))
#define ACQUIRES(...) TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) TSA(acquire_shared_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) TSA(try_acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRES_SHARED(...) TSA(try_acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...) TSA(release_capability(__VA_ARGS__))
#define RELEASES_SHARED(...) TSA(release_shared_capability(__VA_ARGS__))
#define RELEASES_ANY(...) TSA(release_generic_capability(__VA_ARGS__))
#define ASSERTS_HELD(...) TSA(assert_capability(__VA_ARGS__))
#define ASSERTS_HELD_SHARED(...) TSA(assert_shared_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY TSA(no_thread_safety_analysis)

struct TSA(capability("spinlock")) spinlock {
	uint32_t held; /* bit 0; above it the lock's class, in checked builds */
};

#define SPIN_HELD_ 1u

static inline bool spin_take_(struct spinlock *lock)
{
#ifdef THESEUS_CHECKED
	return !(__atomic_fetch_or(&lock->held, SPIN_HELD_, __ATOMIC_ACQUIRE) & SPIN_HELD_);
#else
	/* the class of a lock that a checked cell shares is lost, and found again */
	return !(__atomic_exchange_n(&lock->held, SPIN_HELD_, __ATOMIC_ACQUIRE) & SPIN_HELD_);
#endif
}

static inline void spin_give_(struct spinlock *lock)
{
#ifdef THESEUS_CHECKED
	__atomic_fetch_and(&lock->held, ~SPIN_HELD_, __ATOMIC_RELEASE);
#else
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
#endif
}

#if __STDC_HOSTED__
static inline void spin_room_(void)
{
}
static inline void spin_remember_(struct spinlock *lock)
{
	(void)lock;
}
static inline void spin_forget_(struct spinlock *lock)
{
	(void)lock;
}
#else
/* percpu.held[@i]; @i == -1 reads the word before it, which is no lock. Masked. */
#define SPIN_HELD_AT_(i)                                                                           \
	__extension__({                                                                            \
		void *spin_h_;                                                                     \
		__asm__ volatile("movq %%gs:%c1(,%q2,8), %0"                                       \
				 : "=r"(spin_h_)                                                   \
				 : "i"(PERCPU_OFFSET(held)), "r"((int64_t)(i))                     \
				 : "memory");                                                      \
		spin_h_;                                                                           \
	})

static inline void spin_held_set_(uint32_t i, void *lock)
{
	__asm__ volatile("movq %0, %%gs:%c1(,%q2,8)" ::"r"(lock), "i"(PERCPU_OFFSET(held)),
			 "r"((uint64_t)i)
			 : "memory");
}

static __attribute__((noinline, cold, unused)) void spin_too_many_(void)
{
	TRAP("more spinlocks at a time than a CPU keeps account of");
}

/*
 * What a spinlock guards is not left half-changed by a stack that ends: there is room, or the
 * first lock is not taken. While others are held it is too late for that.
 */
static inline void spin_room_(void)
{
	if (percpu_read(locks) == 0)
		STACK_ROOM(STACK_ROOM_SPIN);
}

static inline void spin_remember_(struct spinlock *lock)
{
	uint32_t n = percpu_read(locks);

	if (__builtin_expect(n >= SPINLOCKS_HELD_MAX, 0)) {
		spin_give_(lock);
		spin_too_many_();
	}
	spin_held_set_(n, lock);
	percpu_write(locks, n + 1);
}

/* Not the last one taken. */
static __attribute__((noinline, cold, unused)) void spin_forget_older_(const struct spinlock *lock)
{
	uint32_t n = percpu_read(locks), i = n;

	while (i > 0 && SPIN_HELD_AT_(i - 1) != (const void *)lock)
		i--;
	if (i == 0)
		TRAP("a spinlock is unlocked that this CPU does not hold");
	for (; i < n; i++)
		spin_held_set_(i - 1, SPIN_HELD_AT_(i));
	percpu_write(locks, n - 1);
}

static inline void spin_forget_(struct spinlock *lock)
{
	uint32_t n = percpu_read(locks);

	if (__builtin_expect(SPIN_HELD_AT_((int64_t)n - 1) == (void *)lock, 1))
		percpu_write(locks, n - 1);
	else
		spin_forget_older_(lock);
}

/*
 * For the fault path: releases what this CPU took after it held @n, the last one first. The
 * mask depth is the caller's to set right; masked.
 */
static inline void spin_release_to(uint32_t n)
{
	uint32_t held;

	while ((held = percpu_read(locks)) > n) {
		struct spinlock *lock = SPIN_HELD_AT_((int64_t)held - 1);

		percpu_write(locks, held - 1);
		spin_give_(lock);
	}
}
#endif

/* @place: "file:line", for the checked build. */
static inline void spin_lock_at_(struct spinlock *lock, const char *place)
	ACQUIRES(*lock) NO_THREAD_SAFETY
{
	spin_room_();
	upcall_mask();
	lock_order_acquire(&lock->held, LOCK_SPIN, place);
	/* xchg: a full barrier; between attempts only read, so the line stays shared */
	while (!spin_take_(lock))
		while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED) & SPIN_HELD_)
			__builtin_ia32_pause();
	spin_remember_(lock);
}

#define spin_lock(lock) spin_lock_at_((lock), LOCK_PLACE)

static inline void spin_unlock(struct spinlock *lock) RELEASES(*lock) NO_THREAD_SAFETY
{
	spin_forget_(lock);
	spin_give_(lock);
	upcall_unmask();
}

/*
 * What a lock is for, for clang: a member of a struct cannot name its neighbour in C, and a
 * function not the lock of what it returns. A role is never defined, what is written of it
 * is no code, and any lock that is taken for it will do.
 *
 *	SPINLOCK_ROLE(log_ring);
 *	struct log { struct spinlock lock; uint64_t seq GUARDED_BY(log_ring); };
 *
 *	spin_lock_as(&log->lock, log_ring);
 */
#define SPINLOCK_ROLE(role)                                                                        \
	extern struct spinlock role;                                                               \
	static inline __attribute__((unused)) void role##_taken_(void) ACQUIRES(role)              \
		NO_THREAD_SAFETY                                                                   \
	{                                                                                          \
	}                                                                                          \
	static inline __attribute__((unused)) void role##_given_(void) RELEASES(role)              \
		NO_THREAD_SAFETY                                                                   \
	{                                                                                          \
	}                                                                                          \
	static inline __attribute__((unused)) void role##_unshared_(void) ASSERTS_HELD(role)       \
		NO_THREAD_SAFETY                                                                   \
	{                                                                                          \
	}                                                                                          \
	_Static_assert(1, "a semicolon follows")

#define spin_lock_as(lock, role)        \
	do {                            \
		spin_lock(lock);        \
		role##_taken_();        \
	} while (0)

#define spin_unlock_as(lock, role)      \
	do {                            \
		role##_given_();        \
		spin_unlock(lock);      \
	} while (0)

/* Says that nobody else can reach yet, or any more, what the role's lock guards. */
#define spin_unshared(role) role##_unshared_()

#endif
