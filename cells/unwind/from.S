/* SPDX-License-Identifier: MIT */
/*
 * void unwind_from(const struct unwind_regs *from, void (*fn)(void *), void *arg)
 *
 * Its frame is described as a signal frame: every register of the caller, rsp and rip
 * included, is where the word at (%rsp) points to. That holds at the call only, where
 * unwinding comes by.
 */
#define DW_CFA_def_cfa_expression 0x0f
#define DW_CFA_expression 0x10
#define DW_OP_breg7_0 0x77, 0x00 /* rsp + 0 */
#define DW_OP_deref 0x06
#define DW_OP_plus_uconst 0x23

	/* DWARF's number of a register, and its place; both ULEB128 of two bytes */
	.macro reg number, place
	.cfi_escape DW_CFA_expression, \number, 6, DW_OP_breg7_0, DW_OP_deref, DW_OP_plus_uconst, (\place & 0x7f) | 0x80, \place >> 7
	.endm

	.text
	.globl unwind_from
	.type unwind_from, @function
	.balign 16
unwind_from:
	.cfi_startproc
	.cfi_signal_frame
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	movq %rdi, (%rsp)
	movq %rsi, %rax
	movq %rdx, %rdi
	.cfi_remember_state
	.cfi_escape DW_CFA_def_cfa_expression, 7, DW_OP_breg7_0, DW_OP_deref, DW_OP_plus_uconst, 0x80, 0x01, DW_OP_deref
	reg 0, 0
	reg 1, 8
	reg 2, 16
	reg 3, 24
	reg 4, 32
	reg 5, 40
	reg 6, 48
	reg 8, 56
	reg 9, 64
	reg 10, 72
	reg 11, 80
	reg 12, 88
	reg 13, 96
	reg 14, 104
	reg 15, 112
	reg 16, 120
	call *%rax
	.cfi_restore_state
	addq $8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size unwind_from, . - unwind_from

	/* Never runs: its unwind information says that there is no caller. */
	.globl unwind_barrier
	.hidden unwind_barrier
	.type unwind_barrier, @function
	.balign 16
unwind_barrier:
	.cfi_startproc
	.cfi_undefined %rip
	ud2
	.cfi_endproc
	.size unwind_barrier, . - unwind_barrier

	.section .note.GNU-stack, "", @progbits
