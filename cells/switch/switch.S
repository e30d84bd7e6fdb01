/* SPDX-License-Identifier: MIT */
/*
 * See theseus/switch.h. What a suspended task's stack holds, from its saved RSP up:
 *   MXCSR (4 bytes), x87 control word (2), padding (2); r15 r14 r13 r12 rbx rbp; return address
 */
#include <theseus/percpu-asm.h>

#define CTX_RSP 0
#define CTX_FS_BASE 8
#define CTX_LANDING 16
#define CTX_RUNNING 24

	.text

	.macro push_callee_saved
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq %r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq %r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq %r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	.endm

	.macro pop_callee_saved
	popq %r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq %r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq %r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq %r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq %rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq %rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	.endm

	/*
	 * What others left in these registers would be saved on the stack by every interrupt, where a
	 * scan of stacks takes it for pointers of this task, for as long as it does not use them.
	 */
	.macro forget_vectors
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	pxor %xmm\n, %xmm\n
	.endr
	.endm

	.globl switch_to
	.type switch_to, @function
	.balign 16
switch_to:
	.cfi_startproc
	push_callee_saved
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	movl (%rsp), %ecx
	movzwl 4(%rsp), %edx
	movq %gs:PERCPU_LANDING, %rax
	movq %rax, CTX_LANDING(%rdi)
	movq %rsp, CTX_RSP(%rdi)
	/*
	 * As soon as `running` is 0 another CPU may go on with that stack, and an NMI here
	 * would write to it. Giving @from up before waiting for @to is what keeps two CPUs
	 * that exchange their tasks from waiting for each other.
	 */
	movq %gs:PERCPU_SPARE_STACK, %rsp
	movl $0, CTX_RUNNING(%rdi)
1:	cmpl $0, CTX_RUNNING(%rsi)
	je 2f
	pause
	jmp 1b
2:	movl $1, CTX_RUNNING(%rsi)
resume:
	movq CTX_FS_BASE(%rsi), %rax
	wrfsbase %rax
	movq CTX_LANDING(%rsi), %rax
	movq %rax, %gs:PERCPU_LANDING
	movq CTX_RSP(%rsi), %rsp
	/* ecx, edx = MXCSR and x87 control as they are: mostly as they shall be, and slow to load */
	cmpl (%rsp), %ecx
	jne 4f
3:	cmpw 4(%rsp), %dx
	jne 5f
6:	addq $8, %rsp
	.cfi_remember_state
	.cfi_adjust_cfa_offset -8
	pop_callee_saved
	ret
	.cfi_restore_state
4:	ldmxcsr (%rsp)
	jmp 3b
5:	fldcw 4(%rsp)
	jmp 6b
	.cfi_endproc
	.size switch_to, . - switch_to

	.globl switch_cpu_entry
	.type switch_cpu_entry, @function
	.balign 16
switch_cpu_entry:
	.cfi_startproc
	.cfi_undefined %rip
	movq %gs:PERCPU_SCRATCH, %rsi
	movq CTX_RSP(%rsi), %rax
	ldmxcsr (%rax)
	fldcw 4(%rax)
	movl (%rax), %ecx
	movzwl 4(%rax), %edx
	jmp resume
	.cfi_endproc
	.size switch_cpu_entry, . - switch_cpu_entry

	/* First "returned" to; r12 = slot of bottom_ops, r13 = its argument. */
	.globl switch_bottom
	.hidden switch_bottom
	.type switch_bottom, @function
	.balign 16
switch_bottom:
	.cfi_startproc
	.cfi_undefined %rip
	nop /* the unwinder looks at the byte before a return address */
1:	forget_vectors
	movq (%r12), %rax
	movq %r13, %rdi
	call *(%rax)
	jmp 1b
	.cfi_endproc
	.size switch_bottom, . - switch_bottom

	/*
	 * The landing is what RSP points to at the call: unwinding compares frames with it. Its
	 * zeros are needed: a scan of stacks would take what lay there for pointers.
	 */
	.globl switch_protect
	.type switch_protect, @function
	.balign 16
switch_protect:
	.cfi_startproc
	push_callee_saved
	pushq %rdx
	.cfi_adjust_cfa_offset 8
	subq $(LANDING_BYTES + 16), %rsp
	.cfi_adjust_cfa_offset LANDING_BYTES + 16
	stmxcsr LANDING_BYTES(%rsp)
	fnstcw (LANDING_BYTES + 4)(%rsp)
	movq $0, (LANDING_BYTES + 8)(%rsp)
	pxor %xmm0, %xmm0
	movq $0, LANDING_UNWINDING(%rsp)
	movaps %xmm0, 32(%rsp)
	movaps %xmm0, 48(%rsp)
	movaps %xmm0, 64(%rsp)
	movaps %xmm0, 80(%rsp)
	movq %gs:PERCPU_LANDING, %rax
	movq %rax, LANDING_OUTER(%rsp)
	movq %rsp, LANDING_RSP(%rsp)
	movl %gs:CPU_MASK, %eax
	andl $0x7fffffff, %eax
	movl %eax, LANDING_DEPTH(%rsp)
	movl %gs:PERCPU_LOCKS, %eax
	movl %eax, LANDING_LOCKS(%rsp)
	movq %rsp, %gs:PERCPU_LANDING
	movq %rdi, %rax
	movq %rsi, %rdi
	call *%rax
	movq (LANDING_BYTES + 16)(%rsp), %rdx
	movq %rax, (%rdx)
	xorl %eax, %eax
	movq LANDING_OUTER(%rsp), %rcx
	movq %rcx, %gs:PERCPU_LANDING
	addq $(LANDING_BYTES + 24), %rsp
	.cfi_adjust_cfa_offset -(LANDING_BYTES + 24)
	pop_callee_saved
	ret
	.cfi_endproc
	.size switch_protect, . - switch_protect

	.globl switch_land
	.type switch_land, @function
	.balign 16
switch_land:
	.cfi_startproc
	.cfi_def_cfa %rdi, LANDING_BYTES + 24 + 56
	.cfi_offset %rbp, -16
	.cfi_offset %rbx, -24
	.cfi_offset %r12, -32
	.cfi_offset %r13, -40
	.cfi_offset %r14, -48
	.cfi_offset %r15, -56
	movq %rdi, %rsp
	.cfi_def_cfa_register %rsp
	movl %esi, %ebx
	movq (LANDING_BYTES + 16)(%rsp), %rcx
	movq %rdx, (%rcx)
	movq LANDING_OUTER(%rsp), %rcx
	movq %rcx, %gs:PERCPU_LANDING
	ldmxcsr LANDING_BYTES(%rsp)
	fldcw (LANDING_BYTES + 4)(%rsp)
	forget_vectors /* of who unwound */
	decl %gs:CPU_MASK
	jns 1f
	cmpl $0x80000000, %gs:CPU_MASK
	jne 1f
	movq %gs:PERCPU_UPCALL, %rax
	movq (%rax), %rax
	call *UPCALL_OPS_PENDING(%rax)
1:	movl %ebx, %eax
	addq $(LANDING_BYTES + 24), %rsp
	.cfi_adjust_cfa_offset -(LANDING_BYTES + 24)
	pop_callee_saved
	ret
	.cfi_endproc
	.size switch_land, . - switch_land

	/*
	 * The gate enters here with RSP and GPRs as the task had them. The red zone is kept;
	 * above what is pushed is room for `popfq; ret $128` to come back: RFLAGS at
	 * RSP - 144, RIP at RSP - 136.
	 */
	.macro trampoline name, entry
	.globl \name
	.type \name, @function
	.balign 16
\name:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	cld
	leaq -144(%rsp), %rsp
	.cfi_adjust_cfa_offset 144
	pushq %rax
	.cfi_adjust_cfa_offset 8
	movq %gs:PERCPU_UPCALL, %rax
	movq (%rax), %rax
	jmp *\entry(%rax)
	.cfi_endproc
	.size \name, . - \name
	.endm

	trampoline switch_upcall_irq, UPCALL_OPS_IRQ
	trampoline switch_upcall_nmi, UPCALL_OPS_NMI

	/* The interrupted stack may be what faulted: it is not touched. */
	.macro trampoline_aside name, entry, stack
	.globl \name
	.type \name, @function
	.balign 16
\name:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	cld
	movq %rax, %gs:PERCPU_SCRATCH
	movq %gs:\stack, %rsp
	movq %gs:PERCPU_UPCALL, %rax
	movq (%rax), %rax
	jmp *\entry(%rax)
	.cfi_endproc
	.size \name, . - \name
	.endm

	trampoline_aside switch_upcall_fault, UPCALL_OPS_FAULT, PERCPU_FAULT_STACK
	trampoline_aside switch_upcall_last, UPCALL_OPS_LAST, PERCPU_SPARE_STACK

	.section .note.GNU-stack, "", @progbits
