/* SPDX-License-Identifier: MIT */
/*
 * Page tables and descriptor tables as initialised data, so that booting does not have to
 * write them. Address map of a guest, by level-4 entry:
 *   0    the gate at its physical addresses (4 KiB pages, W^X) and the LAPIC: supervisor
 *   192  cells' window          193  CPU areas, boot record      194  the seed
 *   196, 197  dynamic           224  alias of RAM: supervisor, NX
 *   240  the page tables themselves (self-map): supervisor, NX
 */
#include "internal.h"

#define TABLE (PTE_P | PTE_W | PTE_U | PTE_A)
#define TABLE_SUPER (PTE_P | PTE_W | PTE_A)

	.section .gate.tables, "aw"
	.balign 4096
	.globl pml4, gdt
pml4:
	.quad pdpt_low + TABLE_SUPER
	.org pml4 + 192 * 8
	.quad pdpt_cells + TABLE
	.quad pdpt_areas + TABLE
	.quad pdpt_seed + TABLE
	.quad 0
	.quad pdpt_dynamic + TABLE
	.quad pdpt_dynamic + 4096 + TABLE
	.org pml4 + 224 * 8
	.quad pdpt_alias + TABLE_SUPER + PTE_NX
	.org pml4 + 240 * 8
	.quad pml4 + TABLE_SUPER + PTE_NX

	.balign 4096
pdpt_low:
	.quad pd_low + TABLE_SUPER
	.quad 0, 0
	.quad pd_lapic + TABLE_SUPER
	.balign 4096
pd_low:
	.quad 0
	.quad pt_low + TABLE_SUPER
	.quad pt_low + 4096 + TABLE_SUPER
	.balign 4096
pt_low:
	.set page, LAYOUT_BASE
	.rept (LAYOUT_RODATA - LAYOUT_BASE) / 4096
	.quad page + PTE_P
	.set page, page + 4096
	.endr
	.rept (LAYOUT_DATA - LAYOUT_RODATA) / 4096
	.quad page + PTE_P + PTE_NX
	.set page, page + 4096
	.endr
	.rept (LAYOUT_END - LAYOUT_DATA) / 4096
	.quad page + PTE_P + PTE_W + PTE_NX
	.set page, page + 4096
	.endr
	.balign 4096
pd_lapic:
	.org pd_lapic + (LAYOUT_LAPIC - 0xc0000000) / 0x200000 * 8
	.quad LAYOUT_LAPIC + PTE_P + PTE_W + PTE_UC + PTE_LARGE + PTE_NX

	.balign 4096
pdpt_cells:
	.quad pd_cells + TABLE, pd_cells + 4096 + TABLE

	.balign 4096
pdpt_areas:
	.quad pd_areas + TABLE
	.balign 4096
pd_areas:
	.quad pt_cpus + TABLE
	.org pd_areas + (0x10000000 / 0x200000) * 8
	.quad pt_boot_record + TABLE
	.balign 4096
pt_cpus:
	.set page, 0
	.rept 16
	.quad user_space + page + PTE_P + PTE_W + PTE_U + PTE_AD + PTE_NX
	.quad user_space + page + 4096 + PTE_P + PTE_W + PTE_U + PTE_AD + PTE_NX
	.quad 0, 0
	.set page, page + 8192
	.endr
	.balign 4096
pt_boot_record:
	.quad boot_record + PTE_P + PTE_U + PTE_AD + PTE_NX

	.balign 4096
pdpt_seed:
	.quad pd_seed + TABLE
	.balign 4096
pd_seed:
	.quad pt_seed + TABLE

	/* Nothing at 3..4 GiB: devices are there, never RAM that the gate uses. */
	.balign 4096
pdpt_alias:
	.set page, 0
	.rept 8
	.if page == 3
	.quad 0
	.elseif page < 3
	.quad pd_alias + page * 4096 + TABLE_SUPER
	.else
	.quad pd_alias + (page - 1) * 4096 + TABLE_SUPER
	.endif
	.set page, page + 1
	.endr
	.balign 4096
pd_alias:
	.set page, 0
	.rept 7 * 512
	.if page == 0xc0000000
	.set page, 0x100000000
	.endif
	.quad page + PTE_P + PTE_W + PTE_LARGE + PTE_NX
	.set page, page + 0x200000
	.endr

	/* Accessed bits preset; the CPU writes the busy bits of the TSSs. */
	.balign 16
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* SEL_CODE32: on the way to long mode */
	.quad 0x00af9b000000ffff /* SEL_CODE */
	.quad 0x00cf93000000ffff /* SEL_DATA */
	.quad 0			 /* no 32-bit code for cells */
	.quad 0x00cff3000000ffff /* SEL_USER_DATA */
	.quad 0x00affb000000ffff /* SEL_USER_CODE */
	.quad 0
	.fill 16 * 2, 8, 0	 /* SEL_TSS: cpu_init() */

	.section .note.GNU-stack, "", @progbits
