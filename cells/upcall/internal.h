/* SPDX-License-Identifier: MIT */
#ifndef UPCALL_INTERNAL_H
#define UPCALL_INTERNAL_H

#include <string.h>
#include <theseus/mapped.h>
#include <theseus/spinlock.h>
#include <theseus/unwind.h>
#include <theseus/upcall.h>

#define UPCALL_VECTOR_PARK GATE_VECTOR_IRQ_FIRST

struct upcall_park {
	uint32_t owner;  /* 1: somebody parks, or a CPU comes online */
	uint32_t parker; /* CPU + 1 that has parked the others; 0 = none */
	uint32_t round;  /* the one asked for; 0 = none. Never reused soon: counts up */
	uint32_t rounds; /* last one given out */
	uint32_t parked[GATE_MAX_CPUS]; /* round that the CPU is parked for; 0 = it runs */
	struct cpu_park_times times;
};

/* Memory for one stack that has overflowed: reserve.c. */
#define UPCALL_RESERVE_PAGES (MAPPED_STACK_GUARD_PAGES - 1)
#define UPCALL_RESERVE_INTERRUPT_PAGES 2u /* of them, so that an interrupt has room */
#define UPCALL_RESERVES_PER_CPU 2u
#define UPCALL_RESERVES (GATE_MAX_CPUS * UPCALL_RESERVES_PER_CPU)

struct upcall_reserve {
	struct frame_run frames; /* none: this CPU is not there */
	struct frame_run table;  /* one frame, for a page table; given away at most once */
	uint32_t used;           /* atomic */
};

struct upcall_state {
	struct spinlock lock; /* guards used[] and handlers[] against writers */
	uint32_t cpus;
	uint32_t xsave_bytes, xsave_mask;
	uint64_t used[4]; /* vectors given out */
	struct irq_ops_h handlers[256];
	struct preempt_ops_h preempt;
	uint32_t online; /* one bit a CPU */
	struct upcall_park park;
	struct mapped stacks[GATE_MAX_CPUS];

	struct spinlock fault_lock;
	uint64_t fault_count;
	struct upcall_fault faults[UPCALL_FAULTS_MAX];
	struct upcall_unwinds unwinds; /* atomic */
	struct upcall_reserve reserves[UPCALL_RESERVES];
};

struct upcall_state *upcall_state(void);

/* What entry.S saves, from the frame's address up. */
struct upcall_regs {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
};

/* Where `popfq; ret $128` finds what it needs, below the RSP that it leaves. */
#define UPCALL_RETURN_BYTES 144u

/* ---- fault.c ---- */
/* Adds to the record @id where its stack was. On that stack, or another. */
void upcall_fault_trace(uint64_t id, const struct unwind_regs *regs);

/* ---- unwind.c ---- */
/* What the fault handler leaves on the faulted stack. */
struct upcall_start {
	struct unwind_regs regs;
	uint64_t fault; /* id */
};
_Static_assert(sizeof(struct upcall_start) % 16 == 0, "it is pushed on an aligned stack");
/* Whether some part of the running task's stack is being unwound, by whomever. */
bool upcall_unwinding_any(void);
/* The landing is unwound to from now on; locks are released, the depth is its own + 1. Masked. */
void upcall_unwind_begin(struct percpu_landing *landing, int result, uint64_t value);
/* On the faulted stack, below what faulted, after upcall_unwind_begin(). */
void upcall_unwind_fault(struct upcall_start *start) __attribute__((noreturn));
/* Lands without running the rest. */
void upcall_unwind_failed(struct percpu_landing *landing) __attribute__((noreturn));

/* ---- reserve.c ---- */
int reserve_prepare(unsigned cpu) MUST_USE;
/*
 * Extends the stack of a task downwards, to @pages (at most UPCALL_RESERVE_PAGES) in all.
 * Result: 0; -EBUSY it has been; -ENOMEM, the gate's.
 */
int reserve_take(struct task_head *task, unsigned pages) MUST_USE;
/* Undoes that unless the caller or @sp still stands there, or near. Masked, as the task. */
void reserve_give(struct task_head *task, uint64_t sp);

/* ---- entry.S ---- */
extern const char upcall_window[], upcall_window_end[];
void upcall_probe(void); /* faults unless there is stack for what handles interrupts */
void upcall_entry_irq(void);
void upcall_entry_nmi(void);
void upcall_entry_fault(void);
void upcall_entry_last(void);
void upcall_park_spin(const uint32_t *word, uint32_t value, uint32_t *parked);

/* ---- called by entry.S ---- */
/* An interrupt at depth 0; @vector 0: only what is pending. Runs at depth 1. @frame borrowed. */
void upcall_interrupt(uint32_t vector, const struct upcall_regs *frame);
/*
 * What faulted is the entry of an interrupt or NMI, or upcall_probe. On the fault stack, depth
 * raised by one. Result: it goes on where it was, the stack has more room.
 */
bool upcall_fault_in_entry(void);
/* On the fault stack, depth raised by one; lands somewhere else. @regs borrowed. */
void upcall_fault(const struct upcall_regs *regs) __attribute__((noreturn));
void upcall_last(void) __attribute__((noreturn));

/* ---- park.c: the IPI ---- */
void upcall_park_here(void);
/* The task that runs here faulted: if it had parked the others, they go on. Masked. */
void upcall_park_fault(void);
/* Before a new CPU counts as online, and after: a parker sees it or it sees the parker. */
void upcall_park_lock(void);
void upcall_park_unlock(void);

#endif
