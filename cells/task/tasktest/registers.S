/* SPDX-License-Identifier: MIT */
	.text
	/*
	 * int64_t registers_role(uint64_t n): fills every register, the flags, the red zone
	 * and the extended state with values made of n, spins for a while and compares.
	 * Result: 0, or which one had changed. AVX is not used: SSE state is saved by the
	 * same instruction.
	 */
	.globl registers_role
	.type registers_role, @function
registers_role:
	.cfi_startproc
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	pushq %rbx
	.cfi_adjust_cfa_offset 8
	pushq %r12
	.cfi_adjust_cfa_offset 8
	pushq %r13
	.cfi_adjust_cfa_offset 8
	pushq %r14
	.cfi_adjust_cfa_offset 8
	pushq %r15
	.cfi_adjust_cfa_offset 8
	subq $24, %rsp
	.cfi_adjust_cfa_offset 24
	/* rounding mode n & 3 in MXCSR and the x87 control word */
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	movl %edi, %eax
	andl $3, %eax
	shll $13, %eax
	orl $0x1f80, %eax
	movl %eax, 8(%rsp)
	ldmxcsr 8(%rsp)
	movl %edi, %eax
	andl $3, %eax
	shll $10, %eax
	orl $0x37f, %eax
	movl %eax, 12(%rsp)
	fldcw 12(%rsp)
	movq %rdi, 16(%rsp)
	fildq 16(%rsp)

	movabsq $0x0101010101010101, %rax
	imulq %rdi, %rax
	leaq 1(%rax), %rbx
	leaq 3(%rax), %rdx
	leaq 4(%rax), %rsi
	leaq 5(%rax), %rbp
	leaq 6(%rax), %r8
	leaq 7(%rax), %r9
	leaq 8(%rax), %r10
	leaq 9(%rax), %r11
	leaq 10(%rax), %r12
	leaq 11(%rax), %r13
	leaq 12(%rax), %r14
	leaq 13(%rax), %r15
	movq %rax, %xmm0
	movq %rbx, %xmm1
	movq %rdx, %xmm7
	movq %rsi, %xmm8
	movq %rbp, %xmm14
	movq %r8, %xmm15
	punpcklqdq %xmm0, %xmm0
	punpcklqdq %xmm15, %xmm15
	movq %rax, -8(%rsp)
	movq %rbx, -64(%rsp)
	movq %rdx, -128(%rsp)

	movl $20000, %ecx
1:	stc
	pause
	jnc 90f
	std
	cld
	decl %ecx
	jnz 1b

	movl $1, %ecx
	cmpq %rax, -8(%rsp)
	jne 9f
	incl %ecx
	cmpq %rbx, -64(%rsp)
	jne 9f
	incl %ecx
	cmpq %rdx, -128(%rsp)
	jne 9f
	.macro same reg, n
	incl %ecx
	decq \reg
	.rept \n - 1
	decq \reg
	.endr
	cmpq %rax, \reg
	jne 9f
	.endm
	same %rbx, 1
	same %rdx, 3
	same %rsi, 4
	same %rbp, 5
	same %r8, 6
	same %r9, 7
	same %r10, 8
	same %r11, 9
	same %r12, 10
	same %r13, 11
	same %r14, 12
	same %r15, 13
	.macro same_xmm reg, n
	incl %ecx
	movq \reg, %rbx
	.if \n
	subq $\n, %rbx
	.endif
	cmpq %rax, %rbx
	jne 9f
	.endm
	same_xmm %xmm0, 0
	same_xmm %xmm1, 1
	same_xmm %xmm7, 3
	same_xmm %xmm8, 4
	same_xmm %xmm14, 5
	same_xmm %xmm15, 6
	psrldq $8, %xmm0
	psrldq $8, %xmm15
	same_xmm %xmm0, 0
	same_xmm %xmm15, 6
	incl %ecx
	stmxcsr -8(%rsp)
	movl -8(%rsp), %ebx
	andl $0x6000, %ebx
	movl 8(%rsp), %edx
	andl $0x6000, %edx
	cmpl %ebx, %edx
	jne 9f
	incl %ecx
	fnstcw -8(%rsp)
	movw -8(%rsp), %bx
	cmpw 12(%rsp), %bx
	jne 9f
	incl %ecx
	fistpq -8(%rsp)
	movq -8(%rsp), %rbx
	cmpq 16(%rsp), %rbx
	jne 91f
	xorl %ecx, %ecx
	jmp 91f
90:	movl $99, %ecx
9:	fstp %st(0)
91:	ldmxcsr (%rsp)
	fldcw 4(%rsp)
	movslq %ecx, %rax
	addq $24, %rsp
	.cfi_adjust_cfa_offset -24
	popq %r15
	.cfi_adjust_cfa_offset -8
	popq %r14
	.cfi_adjust_cfa_offset -8
	popq %r13
	.cfi_adjust_cfa_offset -8
	popq %r12
	.cfi_adjust_cfa_offset -8
	popq %rbx
	.cfi_adjust_cfa_offset -8
	popq %rbp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size registers_role, . - registers_role

	.section .note.GNU-stack, "", @progbits
