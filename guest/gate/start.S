/* SPDX-License-Identifier: MIT */
/*
 * From the entries (CPU 0: PVH, 32-bit protected mode without paging; the others: SIPI, real
 * mode) to gate_main() in long mode. What the CPU lacks for getting there is told on COM1.
 */
#include "internal.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long gate_start

	.section .gate.start, "ax"
	.code32
	.globl gate_start
gate_start:
	rdtsc
	movl %eax, boot_record + ASM_TSC_START
	movl %edx, boot_record + ASM_TSC_START + 4
	movl %ebx, %edi /* hvm_start_info, for gate_main */
	movl $0x80000000, %eax
	cpuid
	movl $no_long_mode, %esi
	cmpl $0x80000001, %eax
	jb missing
	movl $0x80000001, %eax
	cpuid
	btl $29, %edx
	jnc missing
	movl $no_nx, %esi
	btl $20, %edx
	jnc missing
	movl $cpu_space + CPU_BYTES, %esp

	/* edi: start info, 0 on other CPUs; esp: end of this CPU's gate stack */
enter_long_mode:
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl $EFER_VALUE, %eax
	xorl %edx, %edx
	wrmsr
	movl $CR0_VALUE, %eax
	movl %eax, %cr0
	lgdtl gdtr
	ljmpl $SEL_CODE, $long_mode

missing:
	movl $missing_prefix, %ebx
	movw $ASM_PORT_COM1, %dx
1:	movb (%ebx), %al
	incl %ebx
	testb %al, %al
	jz 2f
	outb %al, %dx
	jmp 1b
2:	movl %esi, %ebx
	xorl %esi, %esi
	testl %ebx, %ebx
	jnz 1b
	movw $ASM_PORT_EXIT, %dx
	movb $ASM_EXIT_GATE_CRASH, %al
	outb %al, %dx
3:	cli
	hlt
	jmp 3b

	/* Copied to LAYOUT_AP_STUB. INIT leaves the caches off; CR0 is set whole. */
	.code16
	.globl ap_stub, ap_stub_end
	.balign 8
ap_stub:
	cli
	lgdtl %cs:(2f - ap_stub)
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $SEL_CODE32, $ap_start
2:	.word gdtr_limit
	.long gdt
	.balign 8
ap_stub_end:

	.code32
ap_start:
	movw $SEL_DATA, %ax
	movw %ax, %ds
	movw %ax, %ss
	movl ap_stack, %esp
	xorl %edi, %edi
	jmp enter_long_mode

	.code64
long_mode:
	xorl %eax, %eax
	.irp reg, ds, es, fs, gs, ss
	movl %eax, %\reg
	.endr
	pushq $2
	popfq
	movl %edi, %edi
	call gate_main

	.globl enter_user
enter_user: /* rdi = rip, rsi = rsp */
	pushq $SEL_USER_DATA
	pushq %rsi
	pushq $0x202
	pushq $SEL_USER_CODE
	pushq %rdi
	.irp reg, eax, ebx, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
	xorl %\reg, %\reg
	.endr
	iretq

	.section .rodata, "a"
	.set gdtr_limit, SEL_TSS + 16 * 16 - 1
gdtr:
	.word gdtr_limit
	.long gdt
missing_prefix:
	.asciz "theseus gate: this CPU lacks "
no_long_mode:
	.asciz "long mode (64 bit)\r\n"
no_nx:
	.asciz "NX (no-execute pages)\r\n"

	/* The seed's layout, out of reach of this code's 32-bit relocations. */
	.balign 8
	.globl seed_text, seed_rodata, seed_data, seed_limit, seed_entry, seed_rsp
seed_text:	.quad seed_text_start
seed_rodata:	.quad seed_rodata_start
seed_data:	.quad seed_data_start
seed_limit:	.quad seed_end
seed_entry:	.quad seed_start
seed_rsp:	.quad seed_stack_top - 8 /* as a call would leave it */

	.section .note.GNU-stack, "", @progbits
