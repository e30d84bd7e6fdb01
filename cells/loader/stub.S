/* SPDX-License-Identifier: MIT */
/*
 * Template of the restart stub of a blocking export; stubs.c copies it into pages outside
 * every cell. Callers call the stub; it keeps the six argument registers and calls whatever
 * function the export's slot holds, again as long as that returns -ERESTART_CELL because it
 * was replaced while it waited. The unwind information of this template describes every
 * copy: look up template + (pc - copy).
 */
	.text
	.globl loader_stub, loader_stub_slot, loader_stub_width, loader_stub_end
	.hidden loader_stub, loader_stub_slot, loader_stub_width, loader_stub_end
	.type loader_stub, @function
	.p2align 4
loader_stub:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %r8
	push %r9
1:	mov -8(%rbp), %rdi
	mov -16(%rbp), %rsi
	mov -24(%rbp), %rdx
	mov -32(%rbp), %rcx
	mov -40(%rbp), %r8
	mov -48(%rbp), %r9
	.byte 0xff, 0x15 /* call *slot(%rip) */
loader_stub_slot:
	.long 0
loader_stub_width:
	.byte 0x48, 0x3d /* cmp $-ERESTART_CELL, %rax; with 0x40 as prefix: %eax */
	.long -512
	je 1b
	leave
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
loader_stub_end:
	.size loader_stub, . - loader_stub
	.section .note.GNU-stack, "", @progbits
