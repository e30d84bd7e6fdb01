/* SPDX-License-Identifier: MIT */
/* The least guest: one line on COM1, then the exit port. Stays in the PVH entry state. */
#include "constants.h"

	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	mov $line, %esi
	mov $PORT_COM1, %dx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	mov $PORT_EXIT, %dx
	mov $EXIT_CODE, %al
	out %al, %dx
3:	hlt
	jmp 3b

	.section .rodata
line:	.asciz "hello from the test guest\n"
