/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry to C: long mode, the first 4 GiB mapped one to one, one interrupt
 * vector (0x40) that counts and says EOI, everything else a crash. Runs at CPL 0 throughout.
 */
#include "constants.h"

	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	mov $tables, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $0x20, %eax			/* PAE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax		/* PG */
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x10, $1f
	.code64
1:	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	lea stack_top(%rip), %rsp
	mov $crash, %rax
	xor %ecx, %ecx
2:	call set_gate
	inc %ecx
	cmp $256, %ecx
	jne 2b
	mov $on_interrupt, %rax
	mov $0x40, %ecx
	call set_gate
	lidt idt_pointer(%rip)
	mov $0xff, %al			/* a PC's PICs, where there are some */
	out %al, $0x21
	out %al, $0xa1
	mov $0xfee000f0, %eax		/* software-enable the LAPIC */
	movl $0x1ff, (%rax)
	call guest_main
	mov $CODE_FAIL, %al
	jmp finish
crash:	mov $CODE_CRASH, %al
finish:	mov $PORT_EXIT, %dx
	out %al, %dx
3:	hlt
	jmp 3b

/* IDT entry %ecx = handler %rax */
set_gate:
	mov %ecx, %edx
	shl $4, %edx
	add $idt, %edx
	mov %ax, (%rdx)
	movw $0x10, 2(%rdx)
	movw $0x8e00, 4(%rdx)
	mov %rax, %rbx
	shr $16, %rbx
	mov %bx, 6(%rdx)
	ret

on_interrupt:
	push %rax
	incl guest_interrupts(%rip)
	mov $0xfee000b0, %eax
	movl $0, (%rax)
	pop %rax
	iretq

	.data
	.balign 8
gdt:	.quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 31
	.long gdt, 0
	.balign 8
idt_pointer:
	.word 4095
	.quad idt

	.balign 4096
tables:	.quad directories + 3
	.fill 511, 8, 0
directories:
	.quad pages + 0x0003, pages + 0x1003, pages + 0x2003, pages + 0x3003
	.fill 508, 8, 0
pages:	.set n, 0
	.rept 2048
	.quad (n << 21) + 0x83
	.set n, n + 1
	.endr

	.bss
	.balign 4096
idt:	.skip 4096
stack:	.skip 65536
stack_top:
