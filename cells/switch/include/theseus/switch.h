/* SPDX-License-Identifier: MIT */
/*
 * The code that suspended stacks and the gate refer to: the context switch, the bottom frame
 * of every task, the trampolines of the upcall entries, and fault landings. No state, no
 * policy, nothing worth swapping: everything that decides is reached from here through
 * interface slots, so that a blocked task keeps no other cell's code alive from below.
 *
 * `switch` itself cannot be replaced while any task lives: each one's saved frame and the
 * gate's registered entries point into it.
 */
#ifndef THESEUS_SWITCH_H
#define THESEUS_SWITCH_H

#include <theseus/mask.h>

/* What of a task lies outside its stack while it does not run. */
struct switch_context {
	uint64_t rsp;                   /* saved registers are on the stack from here on */
	uint64_t fs_base;               /* loaded when the task runs */
	struct percpu_landing *landing; /* percpu.landing while it runs */
	uint32_t running; /* 1 from the switch to it until its registers are saved again */
	uint32_t reserved;
};

/* What stands at switch_context.rsp while the task does not run; its stack goes on at `end`. */
struct switch_saved {
	uint32_t mxcsr;
	uint16_t x87_cw;
	uint16_t padding;
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t rip;
	uint64_t end[2]; /* of a new task: keeps the bottom frame's calls aligned */
};

/*
 * Saves the running task into @from and goes on as @to; returns when somebody switches back.
 * Keeps callee-saved registers, MXCSR, the x87 control word and the FS base. Waits for the
 * CPU that still saves @to, if one does. Only at mask depth 1, on a CPU with a spare stack.
 */
CELL_UNSAFE_CALL(machine) void switch_to(struct switch_context *from, struct switch_context *to);

/*
 * Prepares @ctx so that the first switch to it calls `bottom` of the table then in @slot
 * with @arg, again and again: at depth 1 the first time. @stack_top is 16-byte aligned, and
 * the top page must be writable now.
 */
CELL_UNSAFE_CALL(machine)
void switch_prepare(struct switch_context *ctx, uint64_t stack_top, uint64_t fs_base,
		    const struct iface_slot *slot, uint64_t arg);

/* What stands at the bottom of every task. */
struct bottom_ops {
	void (*bottom)(uint64_t arg); /* called again each time it returns */
};
IFACE_DEFINE(bottom_ops);

/*
 * Where a CPU starts (GATE_CPU_START): goes on as the prepared context whose address the
 * starter has left in that CPU's percpu.scratch, having set its `running`.
 */
void switch_cpu_entry(void);

/*
 * Calls fn(arg). Result: 0 and what it returned in *ret_value. -EFAULT: a fault ended it, with
 * the fault's id there. -ECANCELED: it ended its task (task_exit(), a kill), and the caller
 * should return soon. In both cases the cleanups of its frames, and of everything that it
 * called, have run, unless unwinding failed (task_head.unwind_failures). Spinlocks that were
 * taken since are released; callee-saved registers and mask depth are as before the call.
 * Nests. Any context.
 */
int switch_protect(int64_t (*fn)(void *arg), void *arg, int64_t *ret_value) MUST_USE;

/*
 * Goes on at @landing, which returns @result and @value. For the upcall cell, with mask depth
 * landing->depth + 1.
 */
CELL_UNSAFE_CALL(machine)
void switch_land(struct percpu_landing *landing, int result, uint64_t value)
	__attribute__((noreturn));

/* Trampolines to register with the gate: they lead through the slot in percpu.upcall. */
void switch_upcall_irq(void);
void switch_upcall_fault(void);
void switch_upcall_nmi(void);
void switch_upcall_last(void);

#endif
