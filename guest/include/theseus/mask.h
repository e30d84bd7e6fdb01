/* SPDX-License-Identifier: MIT */
/*
 * Masking of upcalls on this CPU: soft, one word at GS:0 (gate.h). Masked code is not
 * interrupted, not preempted, not moved to another CPU, and its CPU is not parked; so it must
 * be short and must not block. Nests. Faults and NMIs come all the same.
 */
#ifndef THESEUS_MASK_H
#define THESEUS_MASK_H

#include <theseus/percpu.h>

/*
 * What the upcall cell provides to the trampolines in `switch` and to upcall_unmask(): the
 * handlers of the four entries, in assembly, and the taker of pending interrupts. Reached
 * through the slot in percpu.upcall, so `upcall` can be swapped.
 */
struct upcall_ops {
	void (*irq)(void);     /* RSP = interrupted RSP - 152, RAX saved there */
	void (*fault)(void);   /* on the fault stack, RAX in percpu.scratch */
	void (*nmi)(void);     /* as irq */
	void (*last)(void);    /* on the spare stack, nothing saved */
	void (*pending)(void); /* a C function: depth is 0, something is pending */
};
IFACE_DEFINE(upcall_ops);

_Static_assert(offsetof(struct upcall_ops, irq) == 0, "percpu-asm.h");
_Static_assert(offsetof(struct upcall_ops, fault) == 8, "percpu-asm.h");
_Static_assert(offsetof(struct upcall_ops, nmi) == 16, "percpu-asm.h");
_Static_assert(offsetof(struct upcall_ops, last) == 24, "percpu-asm.h");
_Static_assert(offsetof(struct upcall_ops, pending) == 32, "percpu-asm.h");
_Static_assert(offsetof(struct gate_cpu, mask) == 0, "percpu-asm.h");
_Static_assert(offsetof(struct gate_cpu, cpu) == 4, "percpu-asm.h");
_Static_assert(offsetof(struct gate_cpu, irq) == 48, "percpu-asm.h");
_Static_assert(offsetof(struct gate_cpu, fault) == 104, "percpu-asm.h");
_Static_assert(offsetof(struct gate_cpu, nmi) == 160, "percpu-asm.h");

/*
 * Faults here, as a stack overflow, unless that many bytes of stack are left: before what must
 * not stop half-way. At most a page, so that the guard is not jumped over.
 */
#define STACK_ROOM_MASKED 2048 /* a masked section, or a few calls that end in one */
#define STACK_ROOM_SPIN 1024   /* under a spinlock */
#define STACK_ROOM_WHOLE 3072  /* in a LEDGER_WHOLE() scope: theseus/ledger.h */
#if __STDC_HOSTED__
#define STACK_ROOM(bytes) ((void)(bytes))
#else
#define STACK_ROOM(bytes) __asm__ volatile("testb $0, -%c0(%%rsp)" ::"i"(bytes) : "memory", "cc")
#endif

#if __STDC_HOSTED__
/* Unit tests run as threads of a process: nothing interrupts them. */
static inline void upcall_mask(void)
{
}
static inline void upcall_unmask(void)
{
}
#else
static inline void upcall_mask(void)
{
	__asm__ volatile("incl %%gs:0" ::: "memory", "cc");
}

/* Mask depth of this CPU. */
static inline uint32_t upcall_depth(void)
{
	uint32_t mask;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(mask) : : "memory");
	return mask & ~GATE_MASK_PENDING;
}

static __attribute__((noinline, cold, unused)) void upcall_take_pending_(void)
{
	const struct iface_slot *slot = percpu_read(upcall);
	const struct upcall_ops *ops = slot ? *(const void *const volatile *)&slot->ops : NULL;
	uint32_t mask;

	/* Another CPU's word, if this task was just moved: then it is that CPU's depth. */
	__asm__ volatile("mov %%gs:0, %0" : "=r"(mask) : : "memory");
	if (ops && mask == GATE_MASK_PENDING)
		ops->pending();
}

/* Undoes one upcall_mask(). At depth 0 takes what became pending: then it may switch tasks. */
static inline void upcall_unmask(void)
{
	bool pending; /* the sign is GATE_MASK_PENDING */

	__asm__ volatile("decl %%gs:0" : "=@ccs"(pending)::"memory");
	if (__builtin_expect(pending, 0))
		upcall_take_pending_();
}
#endif

#endif
