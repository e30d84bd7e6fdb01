/* SPDX-License-Identifier: MIT */
/*
 * A KVM virtual machine: descriptors, memory slots, interrupt routing. The order of set-up
 * is what makes it fast (a slot set after the irqchip costs milliseconds on some hosts):
 * vm_open(), vm_set_memory(), vm_create_irqchip(), then vCPUs.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpuid.h"
#include "failure.h"
#include "memory.h"

struct vm {
	int kvm_fd, vm_fd; /* -1 when closed */
	size_t run_size;   /* of a vCPU's shared page */
	bool tsc_deadline;
};

/*
 * Opens /dev/kvm and creates a VM. This is the test of whether KVM is usable.
 * Result: 0; -errno and @f, which names /dev/kvm, the reason and the way out.
 */
int vm_open(struct vm *vm, struct failure *f) __attribute__((warn_unused_result));

/* Also after a failed open, and twice. */
void vm_close(struct vm *vm);

/* @m must outlive the VM. */
int vm_set_memory(struct vm *vm, const struct guest_memory *m, struct failure *f)
	__attribute__((warn_unused_result));

/* LAPICs in the kernel, no IOAPIC and no PIC: interrupts are messages. */
int vm_create_irqchip(struct vm *vm, struct failure *f) __attribute__((warn_unused_result));

/* What KVM can offer through CPUID, before cpuid_prepare(). */
int vm_supported_cpuid(struct vm *vm, struct cpuid_table *ret_table, struct failure *f)
	__attribute__((warn_unused_result));

/* Sends an MSI; as struct msi_sink, with the VM as context. Any thread. */
int vm_signal_msi(void *vm, uint64_t address, uint32_t data);

#endif
