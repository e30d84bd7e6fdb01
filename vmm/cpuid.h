/* SPDX-License-Identifier: MIT */
/* What CPUID says to a vCPU: what KVM supports, and what only the VMM knows. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define CPUID_ENTRIES_MAX 256u
#define CPUID_BUS_KHZ 1000000u /* of the LAPIC timer under KVM */

/* struct kvm_cpuid2 with room: the ioctls take its address (cpuid.c asserts the layout). */
struct cpuid_table {
	uint32_t nent;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

struct cpuid_config {
	unsigned int cpu;  /* index and APIC id */
	unsigned int cpus; /* of the VM */
	uint32_t tsc_khz;  /* 0 = not known */
	bool tsc_deadline; /* KVM emulates the TSC-deadline timer */
};

/*
 * Changes @t (as KVM_GET_SUPPORTED_CPUID gave it, or as a call for another vCPU left it) to
 * what vCPU @c->cpu shall see. Result: 0, or -E2BIG when the table is full.
 */
int cpuid_prepare(struct cpuid_table *t, const struct cpuid_config *c)
	__attribute__((warn_unused_result));

/* Entry of @leaf, @index; NULL if there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *t, uint32_t leaf, uint32_t index);

#endif
