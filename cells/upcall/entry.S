/* SPDX-License-Identifier: MIT */
/*
 * What the trampolines in `switch` lead to. The frame of an interrupted task whose RSP was S,
 * all on its own stack (struct upcall_frame):
 *
 *   S - 136  RIP          popfq; ret $128 from here
 *   S - 144  RFLAGS
 *   S - 152  RAX          pushed by the trampoline
 *   S - 264  R15 … RBX    frame address
 *   below    XSAVE area, 64-byte aligned
 *
 * Between `window` and `window_end` everything is restored and depth is 0, so another
 * interrupt may come. It finds the GPR slots still intact (they lie in what the gate and the
 * trampoline treat as red zone) and goes on with that frame instead of nesting, so a storm of
 * interrupts uses no more stack than one.
 */
#include <theseus/percpu-asm.h>

#define FRAME_RFLAGS 120
#define FRAME_RIP 128
#define FRAME_TOP 264 /* from the frame's address to S */

	.section .rodata.entry, "a"
	.balign 4
mxcsr_default:
	.long 0x1f80
x87_default:
	.short 0x037f

	.text

	/* On entry CFA = S, as the trampoline left it. */
	.macro cfi_at_trampoline
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa %rsp, 152
	.cfi_offset %rax, -152
	.cfi_undefined %rip
	.endm

	.macro push_one reg
	pushq \reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \reg, 0
	.endm

	.macro push_gprs
	push_one %rbx
	push_one %rcx
	push_one %rdx
	push_one %rsi
	push_one %rdi
	push_one %rbp
	push_one %r8
	push_one %r9
	push_one %r10
	push_one %r11
	push_one %r12
	push_one %r13
	push_one %r14
	push_one %r15
	.endm

	.macro pop_one reg
	popq \reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore \reg
	.endm

	.macro pop_gprs
	pop_one %r15
	pop_one %r14
	pop_one %r13
	pop_one %r12
	pop_one %r11
	pop_one %r10
	pop_one %r9
	pop_one %r8
	pop_one %rbp
	pop_one %rdi
	pop_one %rsi
	pop_one %rdx
	pop_one %rcx
	pop_one %rbx
	pop_one %rax
	.endm

	/*
	 * Saves the extended state below RBX, 64-byte aligned; clobbers RAX, RCX, RDX, RDI. The
	 * header must be zero. So must be the gaps that XSAVE leaves: what an earlier call left
	 * there would be taken for a pointer by the scan of stacks, again at each parking.
	 */
	.macro save_extended
	movl %gs:PERCPU_XSAVE_BYTES, %eax
	subq %rax, %rsp
	andq $-64, %rsp
	movq %rsp, %rdi
	movq %rbx, %rcx
	subq %rsp, %rcx
	shrq $3, %rcx
	xorl %eax, %eax
	rep stosq
	/* not all ones: where CPL 3 runs natively XCR0 can be the host's, with more in it */
	movl %gs:PERCPU_XSAVE_MASK, %eax
	xorl %edx, %edx
	xsave64 (%rsp)
	ldmxcsr mxcsr_default(%rip)
	fldcw x87_default(%rip)
	.endm

	.macro restore_extended
	movl %gs:PERCPU_XSAVE_MASK, %eax
	xorl %edx, %edx
	xrstor64 (%rsp)
	.endm

	.globl upcall_entry_irq, upcall_window, upcall_window_end
	.hidden upcall_entry_irq, upcall_window, upcall_window_end
	.type upcall_entry_irq, @function
	.balign 16
upcall_entry_irq:
	cfi_at_trampoline
	push_gprs
	movq %gs:(CPU_IRQ + GATE_FRAME_RIP), %rax
	leaq upcall_window(%rip), %rcx
	leaq upcall_window_end(%rip), %rdx
	cmpq %rcx, %rax
	jb 1f
	cmpq %rdx, %rax
	jae 1f
	/* that older frame goes on; only at the ret has popfq moved RSP */
	movq %gs:(CPU_IRQ + GATE_FRAME_RSP), %rsp
	leaq window_ret(%rip), %rcx
	cmpq %rcx, %rax
	jne 2f
	leaq -8(%rsp), %rsp
2:	leaq -FRAME_RFLAGS(%rsp), %rsp
	jmp 3f
1:	movq %rax, FRAME_RIP(%rsp)
	movq %gs:(CPU_IRQ + GATE_FRAME_RFLAGS), %rax
	movq %rax, FRAME_RFLAGS(%rsp)
3:	.cfi_offset %rip, -136
	/*
	 * All the stack that will be needed, while the slot still has the vector: a handler that
	 * came to the guard page would lose its interrupt, and the CPU its timer. A fault here
	 * extends the stack (reserve.c); if that cannot be, the interrupt becomes pending again.
	 * In two steps, so that neither jumps over the guard.
	 */
	movl %gs:PERCPU_XSAVE_BYTES, %eax
	negq %rax
	testb $0, -64(%rsp, %rax)
	testb $0, (-64 - UPCALL_STACK_BYTES)(%rsp, %rax)
	movl %gs:(CPU_IRQ + GATE_FRAME_VECTOR), %r12d
	movl $0, %gs:(CPU_IRQ + GATE_FRAME_BUSY)

	/* r12d = vector, 0 = only what is pending; RSP = frame */
handle:
	movq %rsp, %rbx
	.cfi_def_cfa_register %rbx
	save_extended
	movl %r12d, %edi
	movq %rbx, %rsi
	call upcall_interrupt
	restore_extended
	movq %rbx, %rsp
	.cfi_def_cfa_register %rsp
	pop_gprs
	decl %gs:CPU_MASK
upcall_window:
	js 5f
4:	popfq
	.cfi_adjust_cfa_offset -8
window_ret:
	ret $128
	.cfi_adjust_cfa_offset 8
5:	cmpl $0x80000000, %gs:CPU_MASK
	jne 4b
	incl %gs:CPU_MASK
upcall_window_end:
	/* nothing but RSP has changed: the frame still stands below it */
	leaq -FRAME_RFLAGS(%rsp), %rsp
	.cfi_def_cfa %rsp, FRAME_TOP
	.cfi_rel_offset %rbx, 104
	.cfi_rel_offset %r12, 24
	xorl %r12d, %r12d
	jmp handle
	.cfi_endproc
	.size upcall_entry_irq, . - upcall_entry_irq

	/* Counts, and leaves as an interrupt does: something may have become pending. */
	.globl upcall_entry_nmi
	.hidden upcall_entry_nmi
	.type upcall_entry_nmi, @function
	.balign 16
upcall_entry_nmi:
	cfi_at_trampoline
	push_gprs
	movq %gs:(CPU_NMI + GATE_FRAME_RIP), %rax
	movq %rax, FRAME_RIP(%rsp)
	movq %gs:(CPU_NMI + GATE_FRAME_RFLAGS), %rax
	movq %rax, FRAME_RFLAGS(%rsp)
	.cfi_offset %rip, -136
	movl $0, %gs:(CPU_NMI + GATE_FRAME_BUSY)
	incl %gs:PERCPU_NMIS
	pop_gprs
	decl %gs:CPU_MASK
	jmp upcall_window
	.cfi_endproc
	.size upcall_entry_nmi, . - upcall_entry_nmi

	/* void upcall_probe(void): the same where upcalls are unmasked. */
	.globl upcall_probe
	.hidden upcall_probe
	.type upcall_probe, @function
	.balign 16
upcall_probe:
	.cfi_startproc
	testb $0, -UPCALL_STACK_BYTES(%rsp)
	ret
	.cfi_endproc
	.size upcall_probe, . - upcall_probe

	/* On the CPU's fault stack; the slot stays busy until the handler leaves it. */
	.globl upcall_entry_fault
	.hidden upcall_entry_fault
	.type upcall_entry_fault, @function
	.balign 16
upcall_entry_fault:
	.cfi_startproc simple
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	subq $24, %rsp /* no RIP and RFLAGS here: they are in the slot */
	.cfi_adjust_cfa_offset 24
	push_one %rax
	movq %gs:PERCPU_SCRATCH, %rax
	movq %rax, (%rsp)
	push_gprs
	movl %gs:(CPU_IRQ + GATE_FRAME_BUSY), %eax
	orl %gs:(CPU_NMI + GATE_FRAME_BUSY), %eax
	jne in_entry
	leaq upcall_probe(%rip), %rax
	cmpq %rax, %gs:(CPU_FAULT + GATE_FRAME_RIP)
	je in_entry
ends:	ldmxcsr mxcsr_default(%rip)
	fldcw x87_default(%rip)
	movq %rsp, %rdi
	call upcall_fault
	ud2

	/* What was interrupted has not had its extended state saved yet. */
in_entry:
	movq %rsp, %rbx
	.cfi_def_cfa_register %rbx
	save_extended
	call upcall_fault_in_entry
	movl %eax, %ecx
	restore_extended
	movq %rbx, %rsp
	.cfi_def_cfa_register %rsp
	testb %cl, %cl
	je ends
	/*
	 * Goes on there, still masked. The slot is free as soon as its words are copied; an NMI
	 * then uses only what lies below this stack's red zone, or that one's.
	 */
	movq %gs:(CPU_FAULT + GATE_FRAME_RSP), %rax
	movq %gs:(CPU_FAULT + GATE_FRAME_RIP), %rcx
	movq %rcx, -136(%rax)
	movq %gs:(CPU_FAULT + GATE_FRAME_RFLAGS), %rcx
	movq %rcx, -144(%rax)
	subq $144, %rax
	movq %rax, FRAME_RFLAGS(%rsp)
	pop_gprs
	movl $0, %gs:(CPU_FAULT + GATE_FRAME_BUSY)
	decl %gs:CPU_MASK
	movq (%rsp), %rsp
	popfq
	ret $128
	.cfi_endproc
	.size upcall_entry_fault, . - upcall_entry_fault

	.globl upcall_entry_last
	.hidden upcall_entry_last
	.type upcall_entry_last, @function
	.balign 16
upcall_entry_last:
	.cfi_startproc simple
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	ldmxcsr mxcsr_default(%rip)
	call upcall_last
	ud2
	.cfi_endproc
	.size upcall_entry_last, . - upcall_entry_last

	/*
	 * void upcall_park_spin(const uint32_t *word, uint32_t value, uint32_t *parked): waits
	 * while the first two are equal, then serialises. By cpuid: iretq would do without an exit,
	 * but QEMU's TCG pops its frame as ring 0, against SMAP. *@parked is set to @value when
	 * every register of the task is on its stack and parked_rsp says where: whoever sees it
	 * looks there.
	 */
	.globl upcall_park_spin
	.hidden upcall_park_spin
	.type upcall_park_spin, @function
	.balign 16
upcall_park_spin:
	.cfi_startproc
	push_one %rbp
	push_one %rbx
	push_one %r12
	push_one %r13
	push_one %r14
	push_one %r15
	movq %rsp, %gs:PERCPU_PARKED_RSP
	movl %esi, (%rdx)
1:	pause
	cmpl %esi, (%rdi)
	je 1b
	xorl %eax, %eax
	xorl %ecx, %ecx
	cpuid
	pop_one %r15
	pop_one %r14
	pop_one %r13
	pop_one %r12
	pop_one %rbx
	pop_one %rbp
	ret
	.cfi_endproc
	.size upcall_park_spin, . - upcall_park_spin

	.section .note.GNU-stack, "", @progbits
