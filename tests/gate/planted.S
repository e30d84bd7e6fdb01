/* SPDX-License-Identifier: MIT */
/* One instruction of each kind that disassemble.py must find. Never run. */
	.text
	.globl planted_start, planted_end, seed_start
seed_start:
planted_start:
	movaps %xmm0, %xmm1
	ldmxcsr (%rax)
	xgetbv
	clac
	wrgsbase %rax
	rdtscp
	popcnt %rax, %rcx
	endbr64
	nop
planted_end:

	.section .note.GNU-stack, "", @progbits
