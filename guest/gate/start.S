/* SPDX-License-Identifier: MIT */
/* PVH entry. */

	.pushsection .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long gate_start
	.popsection

	.section .gate.entry, "ax"
	.code32
	.globl gate_start
gate_start:
	movw $0xf4, %dx
	movb $0x12, %al
	outb %al, %dx
1:	cli
	hlt
	jmp 1b

	.section .note.GNU-stack, "", @progbits
