/* SPDX-License-Identifier: MIT */
#ifndef UPCALL_INTERNAL_H
#define UPCALL_INTERNAL_H

#include <theseus/mapped.h>
#include <theseus/spinlock.h>
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
};

struct upcall_state *upcall_state(void);

/* What entry.S saves, from the frame's address up. */
struct upcall_regs {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
};

/* ---- entry.S ---- */
extern const char upcall_window[], upcall_window_end[];
void upcall_entry_irq(void);
void upcall_entry_nmi(void);
void upcall_entry_fault(void);
void upcall_entry_last(void);
void upcall_park_spin(const uint32_t *word, uint32_t value);

/* ---- called by entry.S ---- */
/* An interrupt at depth 0; @vector 0: only what is pending. Runs at depth 1. */
void upcall_handle(uint32_t vector);
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
