/* SPDX-License-Identifier: MIT */
/* A user-level switch and nothing else: no MXCSR, no FS base, no scheduler, no lock. */
	.text
	.globl	minimal_switch
	.type	minimal_switch, @function
minimal_switch:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	minimal_switch, . - minimal_switch

/* Where a new stack begins: rbx is the function, r12 its argument. */
	.globl	minimal_start
	.type	minimal_start, @function
minimal_start:
	movq	%r12, %rdi
	call	*%rbx
	ud2
	.size	minimal_start, . - minimal_start
	.section .note.GNU-stack, "", @progbits
