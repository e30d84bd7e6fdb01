/* SPDX-License-Identifier: MIT */
/* Entries of last.c: one leaves its slot busy and faults, the other reports. */
	.text
	.globl bad_fault_entry, last_entry
bad_fault_entry:
	movb $1, 0xbad0

last_entry:
	and $-16, %rsp
	call last_handler
	ud2

	.section .note.GNU-stack, "", @progbits
