/* SPDX-License-Identifier: MIT */
/*
 * seed_done(phys, pages), position-independent, run from the cell window without a stack
 * (the seed's goes away): GATE_SEED_DONE, and what must hold afterwards. Ends the VM.
 */
#define MAGIC 0x74680000
#define ARGUMENTS 0x608000001000
#define SEED 0x610000000000
#define DYNAMIC 0x620000000000

	.macro call_gate nr
	mov $(MAGIC + \nr), %eax
	int3
	.endm

	.text
	.globl seed_done, seed_done_end
seed_done:
	mov %rdi, %r12
	mov %rsi, %r13
	call_gate 16
	test %rax, %rax
	jnz 9f
	/* the run that was freed */
	movabs $ARGUMENTS, %rbx
	movabs $SEED, %rcx
	cmp %rcx, (%rbx)
	jne 9f
	cmp %r12, 8(%rbx)
	jne 9f
	cmp %r13d, 16(%rbx)
	jne 9f
	/* its frames: free, and may be mapped; its pages: gone */
	mov %r12, %rdi
	call_gate 7
	test %rax, %rax
	jnz 9f
	movabs $DYNAMIC, %rcx
	mov %rcx, (%rbx)
	movl $1, 20(%rbx)
	mov $1, %edi
	call_gate 1
	cmp %r13, %rax
	jne 9f
	movq $0x77, (%rcx)
	movabs $SEED, %rcx
	mov %rcx, (%rbx)
	movl $0, 20(%rbx)
	mov $1, %edi
	call_gate 2
	cmp $-34, %rax
	jne 9f
	/* once */
	call_gate 16
	cmp $-114, %rax
	jne 9f
	/* no entry can be registered there any more */
	xor %edi, %edi
	mov %rcx, %rsi
	call_gate 13
	cmp $-14, %rax
	jne 9f
	mov $0x20, %edi
	call_gate 14
9:	mov $0x21, %edi
	call_gate 14
	jmp 9b
seed_done_end:

	.section .note.GNU-stack, "", @progbits
