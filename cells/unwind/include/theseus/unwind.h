/* SPDX-License-Identifier: MIT */
/*
 * The unwinder: GCC's, packed as a cell, over the tables of the loader. It allocates nothing
 * and takes no lock. What decides when a stack is unwound, and up to where, is the upcall
 * cell (upcall_end()); here are the mechanism, and backtraces.
 */
#ifndef THESEUS_UNWIND_H
#define THESEUS_UNWIND_H

#include <theseus/cell.h>

/* ---- what compiled cleanups refer to, and GCC's interface of <unwind.h> ---- */

struct _Unwind_Exception;
struct _Unwind_Context;

void _Unwind_Resume(struct _Unwind_Exception *exception);
int __gcc_personality_v0(int version, int actions, uint64_t class,
			 struct _Unwind_Exception *exception, struct _Unwind_Context *context);

/* ---- forced unwinding ---- */

/*
 * General registers of suspended code, rip and rsp last. What is not known may be 0 as far as
 * the code's unwind information does not refer to it: the callee-saved ones suffice where it
 * was left by a call.
 */
struct unwind_regs {
	uint64_t rax, rdx, rcx, rbx, rsi, rdi, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rsp;
};

/*
 * Bytes of stack to have below the frames that are unwound: for the unwinder, an interrupt on
 * top of it, and a cleanup of some depth.
 */
#define UNWIND_STACK_BYTES 8192u

/*
 * Calls fn(arg) so that the frame above it is that of @from, interrupted at its instruction
 * rip: unwinding and backtraces that start in fn go through it. @from is borrowed until fn
 * returns. Any context.
 */
void unwind_from(const struct unwind_regs *from, void (*fn)(void *arg), void *arg);

/* One unwinding. Lies outside of what is unwound, 16-byte aligned. */
struct unwind {
	/*
	 * Called for each frame, innermost first, before its cleanups run, on the stack below
	 * it: @sp is the frame's stack pointer (what was called from it stands below). Leaves
	 * for good where unwinding shall end; returning lets the frame's cleanups run. @end: there
	 * is no further frame, or none that is known; the call must not return then.
	 */
	void (*frame)(struct unwind *unwind, uint64_t sp, bool end);
	uint64_t reserved;
	uint64_t exception[4]; /* GCC's; of this unwinding */
};

/*
 * Unwinds from its caller on. Returns only when it cannot begin or go on: then cleanups of some
 * frames have not run. Context: any in which the cleanups may run.
 */
void unwind_force(struct unwind *unwind);

/* ---- backtraces ---- */

/*
 * Return addresses, innermost first: @from's own rip is the first, or with @from NULL the
 * caller's. Reads nothing outside of the stack [@stack_start, @stack_end): ends where the chain
 * leaves it or goes down, and at code without unwind information. Result: how many, at most
 * @max. loader_locate() tells what they are.
 */
unsigned unwind_backtrace(const struct unwind_regs *from, uint64_t stack_start, uint64_t stack_end,
			  uint64_t *ret_pcs, unsigned max);

/*
 * Whether there is unwind information for the instruction at @pc: where there is none, unwinding
 * ends. Any context.
 */
bool unwind_covers(uint64_t pc);

/* ---- for the loader ---- */

/* What describes a piece of code: GCC's `struct dwarf_eh_bases` comes from it. */
struct unwind_entry {
	const void *fde;   /* in .eh_frame form */
	uint64_t function; /* where the code that it describes begins */
};

struct unwind_tables_ops {
	/*
	 * The entry for the instruction at @pc. Result: 0, -ENOENT. Any context, faults and
	 * commits of swaps included: takes no lock, allocates nothing.
	 */
	int (*find)(uint64_t pc, struct unwind_entry *ret_entry);
};
IFACE_DEFINE(unwind_tables_ops);

/* Whom to ask; once, while the system boots. Before it nothing can be unwound. */
void unwind_attach(struct unwind_tables_ops_h tables);

#endif
