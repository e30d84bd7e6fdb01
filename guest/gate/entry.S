/* SPDX-License-Identifier: MIT */
/*
 * Entries from the IDT. All are interrupt gates: IF, TF and NT are off. GPRs are kept; `push
 * $2; popf` clears what a cell may have set besides and ring 0 must not run with: AC (it
 * switches SMAP off), DF.
 */
#include "internal.h"

	.macro clear_flags
	pushq $2
	popfq
	.endm

	.macro pushes regs:vararg
	.irp reg, \regs
	pushq %\reg
	.endr
	.endm

	.macro pops regs:vararg
	.irp reg, \regs
	popq %\reg
	.endr
	.endm

	/* What C may change, but for rax. */
	.macro push_scratch
	pushes rcx, rdx, rsi, rdi, r8, r9, r10, r11
	.endm

	.macro pop_scratch
	pops r11, r10, r9, r8, rdi, rsi, rdx, rcx
	.endm

	/* First in the image: the IDT's offsets are counted from here. */
	.section .gate.stubs, "ax"
stubs:
	.set vector, 0x20
	.rept 256 - 0x20
	.byte 0x6a, vector /* push, sign-extended: only the low byte counts */
	jmp interrupt
	.balign 8
	.set vector, vector + 1
	.endr

	/* Exceptions: those without an error code push 0 for it. */
	.set vector, 0
	.rept 32
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
	.else
	pushq $0
	.endif
	.byte 0x6a, vector
	jmp fault_entry
	.balign 16
	.set vector, vector + 1
	.endr
	.set faults, (256 - 0x20) * 8 /* offset of vector 0's, 16 bytes each */

/*
 * Gate calls. rdi, rsi, rdx are the call's own arguments; rcx = what is in rax beyond the
 * magic, r8 = what the CPU pushed. Without the magic it is a breakpoint.
 */
call_entry:
	clear_flags
	push_scratch
	leaq -ASM_MAGIC(%rax), %rcx
	cmpq $0xffff, %rcx
	ja 1f
	leaq 64(%rsp), %r8
	call gate_call_entry
	pop_scratch
	iretq
1:	pop_scratch
	pushq $0
	pushq $3
fault_entry:
	clear_flags
	pushq %rax
	push_scratch
	pushes rbx, rbp, r12, r13, r14, r15
	movq %rsp, %rdi
	call fault
	pops r15, r14, r13, r12, rbp, rbx
	pop_scratch
	popq %rax
	addq $16, %rsp
	iretq

interrupt:
	clear_flags
	pushq %rax
	push_scratch
	movzbl 72(%rsp), %edi
	leaq 80(%rsp), %rsi
	call irq
	pop_scratch
	popq %rax
	addq $8, %rsp
	iretq

nmi_entry:
	clear_flags
	pushq %rax
	push_scratch
	leaq 72(%rsp), %rdi
	call nmi
	pop_scratch
	popq %rax
	iretq

/*
 * Any interrupt taken from idle_begin to idle_end resumes at idle_restart, so one that
 * comes between the test and the halt (an NMI may) is seen before halting.
 */
	.globl idle_wait, idle_begin, idle_end, idle_restart
idle_restart:
	cli
idle_wait:
idle_begin:
	testl $ASM_MASK_PENDING, (%rdi)
	jnz 1f
	sti
	hlt
idle_end:
	jmp idle_restart
1:	ret

	.macro gate offset, dpl=0, ist=0
	.word \offset
	.word SEL_CODE
	.byte \ist
	.byte 0x8e | (\dpl << 5)
	.word LAYOUT_BASE >> 16
	.quad 0
	.endm

	.section .rodata, "a"
	.balign 16
idt:
	.set vector, 0
	.rept 32
	.if vector == 2
	gate (nmi_entry - stubs)
	.elseif vector == 3
	gate (call_entry - stubs), 3
	.elseif vector == 8
	gate (faults + vector * 16), 0, IST_DOUBLE_FAULT
	.else
	gate (faults + vector * 16)
	.endif
	.set vector, vector + 1
	.endr
	.set vector, 0x20
	.rept 256 - 0x20
	gate ((vector - 0x20) * 8)
	.set vector, vector + 1
	.endr
	.globl idtr
idtr:
	.word 256 * 16 - 1
	.quad idt

	.section .note.GNU-stack, "", @progbits
