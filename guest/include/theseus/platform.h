/* SPDX-License-Identifier: MIT */
/*
 * What the guest and whoever hosts it agree on: ports, exit codes, the PVH hand-over.
 * Self-contained; used by the gate, by theseus-vmm and by tests.
 *
 * Hand-over: PVH (Xen "x86/HVM direct boot" ABI): 32-bit protected mode at the entry in
 * ELF note XEN_ELFNOTE_PHYS32_ENTRY (18), EBX = hvm_start_info version 1 with a memory map;
 * modlist[0] is the boot bundle; cmdline as in `struct boot_record` below (gate.h).
 * CPU count: `cpus=N` on the command line (default 1); APIC ids are 0..N-1.
 * TSC frequency: CPUID leaf 0x40000010 (EAX, kHz) where the hypervisor offers it, else the
 * gate calibrates against the LAPIC timer, which counts at 1 GHz under KVM and QEMU.
 */
#ifndef THESEUS_PLATFORM_H
#define THESEUS_PLATFORM_H

#define PLATFORM_PORT_COM1 0x3f8        /* 16550, output polled by the guest */
#define PLATFORM_PORT_EXIT 0xf4         /* write of a byte ends the VM; QEMU isa-debug-exit exits (byte << 1) | 1 */
#define PLATFORM_PORT_PVPANIC 0x505     /* write of PLATFORM_PVPANIC_PANICKED: the guest crashed */
#define PLATFORM_PORT_PCI_ADDRESS 0xcf8
#define PLATFORM_PORT_PCI_DATA 0xcfc
#define PLATFORM_PORT_RESET 0xcf9       /* 0x06 resets, where nothing listens on PLATFORM_PORT_EXIT */
#define PLATFORM_PORT_Q35_PM1A 0x604    /* 16-bit 0x2000 powers a q35 off once its firmware ran */

#define PLATFORM_PVPANIC_PANICKED 1

/* Bytes written to PLATFORM_PORT_EXIT. */
enum platform_exit {
	PLATFORM_EXIT_POWEROFF = 0x10, /* asked for: status 0 of theseus-vmm */
	PLATFORM_EXIT_RESET = 0x11,    /* asked for a restart */
	PLATFORM_EXIT_GATE_CRASH = 0x12, /* trap inside the gate (G6), or boot impossible */
	PLATFORM_EXIT_CELL_CRASH = 0x13, /* the cells gave up: crash record on COM1 */
	PLATFORM_EXIT_TEST_OK = 0x20,  /* test guests only */
	PLATFORM_EXIT_TEST_FAIL = 0x21,
};

/* Names of the virtio-console ports. */
#define PLATFORM_CONSOLE_PORT "console"
#define PLATFORM_CONTROL_PORT "org.theseus.control.0"

#endif
