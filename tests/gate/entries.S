/* SPDX-License-Identifier: MIT */
/* Upcall entries of the test payloads, and attempt(). GS:256.. is theirs. */

#define FRAME_IRQ 48
#define FRAME_FAULT (48 + 56)
#define FRAME_NMI (48 + 112)
#define F_RIP 0
#define F_RFLAGS 8
#define F_VECTOR 24
#define F_BUSY 52

#define RECOVER_RSP %gs:256
#define COPY 264 /* struct gate_frame of the last fault */

	.text
	.globl attempt_raw, irq_entry, fault_entry, nmi_entry

/* uint64_t attempt_raw(fn, arg) */
attempt_raw:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	pushq RECOVER_RSP
	mov %rsp, RECOVER_RSP
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	xor %eax, %eax
1:	popq RECOVER_RSP
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

fault_entry:
	cld
	.set word, 0
	.rept 7
	mov %gs:FRAME_FAULT + word, %rax
	mov %rax, %gs:COPY + word
	.set word, word + 8
	.endr
	movl $0, %gs:FRAME_FAULT + F_BUSY
	decl %gs:0
	mov %gs:COPY + F_VECTOR, %rax
	inc %rax
	mov RECOVER_RSP, %rsp
	jmp 1b

	/* As the real entry does it, but for the extended state, which handlers here leave alone. */
	.macro entry frame handler
	lea -144(%rsp), %rsp
	push %rax
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbp
	mov %rsp, %rbp
	mov %gs:\frame + F_RFLAGS, %rax
	mov %rax, 80(%rsp)
	mov %gs:\frame + F_RIP, %rax
	mov %rax, 88(%rsp)
	mov %gs:\frame + F_VECTOR, %rdi
	movl $0, %gs:\frame + F_BUSY
	cld
	and $-16, %rsp
	call \handler
	mov %rbp, %rsp
	pop %rbp
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	popfq
	ret $128
	.endm

irq_entry:
	entry FRAME_IRQ, interrupt_handler
nmi_entry:
	entry FRAME_NMI, nmi_handler

	.section .note.GNU-stack, "", @progbits
