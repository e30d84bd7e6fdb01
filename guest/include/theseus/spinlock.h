/* SPDX-License-Identifier: MIT */
/*
 * Spinlocks: upcalls masked plus an atomic flag. All zero is unlocked. Held shortly, never
 * across anything that may block; safe between tasks, interrupt handlers and CPUs. Not
 * recursive. A fault while one is held ends the VM until faults unwind.
 */
#ifndef THESEUS_SPINLOCK_H
#define THESEUS_SPINLOCK_H

#include <theseus/mask.h>

#ifdef __clang__
#define TSA(x) __attribute__((x))
#else
#define TSA(x) /* GCC 12 cannot parse the arguments */
#endif

#define GUARDED_BY(lock) TSA(guarded_by(lock))
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define ACQUIRES(...) TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...) TSA(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY TSA(no_thread_safety_analysis)

struct TSA(capability("spinlock")) spinlock {
	uint32_t held;
};

static inline void spin_lock(struct spinlock *lock) ACQUIRES(*lock) NO_THREAD_SAFETY
{
	upcall_mask();
#if !__STDC_HOSTED__
	__asm__ volatile("incl %%gs:%c0" ::"i"(PERCPU_OFFSET(locks)) : "memory", "cc");
#endif
	/* xchg: a full barrier; between attempts only read, so the line stays shared */
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock) RELEASES(*lock) NO_THREAD_SAFETY
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
#if !__STDC_HOSTED__
	__asm__ volatile("decl %%gs:%c0" ::"i"(PERCPU_OFFSET(locks)) : "memory", "cc");
#endif
	upcall_unmask();
}

#endif
