/* SPDX-License-Identifier: MIT */
/* The least a PVH kernel can do: one byte to COM1. What QEMU microvm's start is measured with. */
	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	mov $0x3f8, %dx
	mov $'!', %al
	out %al, %dx
1:	hlt
	jmp 1b
