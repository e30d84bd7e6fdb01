/* SPDX-License-Identifier: MIT */
#include "cpuid.h"

#include <errno.h>
#include <stddef.h>

#define LEAF_FEATURES 0x1u
#define LEAF_TOPOLOGY 0xbu
#define LEAF_TOPOLOGY_V2 0x1fu
#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_TIMING 0x40000010u
#define LEAF_AMD_TOPOLOGY 0x8000001eu

#define FEATURES_ECX_X2APIC (1u << 21)
#define FEATURES_ECX_TSC_DEADLINE (1u << 24)
#define FEATURES_ECX_HYPERVISOR (1u << 31)
#define FEATURES_EDX_HTT (1u << 28)

_Static_assert(offsetof(struct cpuid_table, entries) == offsetof(struct kvm_cpuid2, entries),
	       "ABI");
_Static_assert(offsetof(struct cpuid_table, nent) == offsetof(struct kvm_cpuid2, nent), "ABI");

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *t, uint32_t leaf, uint32_t index)
{
	for (unsigned int i = 0; i < t->nent; i++)
		if (t->entries[i].function == leaf && t->entries[i].index == index)
			return &t->entries[i];
	return NULL;
}

static struct kvm_cpuid_entry2 *find_or_add(struct cpuid_table *t, uint32_t leaf, uint32_t index)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(t, leaf, index);

	if (e)
		return e;
	if (t->nent == CPUID_ENTRIES_MAX)
		return NULL;
	e = &t->entries[t->nent++];
	*e = (struct kvm_cpuid_entry2){.function = leaf, .index = index};
	return e;
}

static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

static void features(struct cpuid_table *t, const struct cpuid_config *c)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(t, LEAF_FEATURES, 0);

	if (!e)
		return;
	e->ebx = (e->ebx & 0xffff) | (1u << id_bits(c->cpus)) << 16 | c->cpu << 24;
	e->ecx |= FEATURES_ECX_X2APIC | FEATURES_ECX_HYPERVISOR;
	e->ecx = c->tsc_deadline ? e->ecx | FEATURES_ECX_TSC_DEADLINE
				 : e->ecx & ~FEATURES_ECX_TSC_DEADLINE;
	e->edx = c->cpus > 1 ? e->edx | FEATURES_EDX_HTT : e->edx & ~FEATURES_EDX_HTT;
}

/* One package of single-threaded cores. */
static int topology(struct cpuid_table *t, const struct cpuid_config *c, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *thread, *core, *end;

	if (!cpuid_find(t, leaf, 0))
		return 0;
	thread = find_or_add(t, leaf, 0);
	core = find_or_add(t, leaf, 1);
	end = find_or_add(t, leaf, 2);
	if (!thread || !core || !end)
		return -E2BIG;
	*thread = (struct kvm_cpuid_entry2){.function = leaf,
					    .index = 0,
					    .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					    .eax = 0,
					    .ebx = 1,
					    .ecx = 1 << 8,
					    .edx = c->cpu};
	*core = (struct kvm_cpuid_entry2){.function = leaf,
					  .index = 1,
					  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					  .eax = id_bits(c->cpus),
					  .ebx = c->cpus,
					  .ecx = 2 << 8 | 1,
					  .edx = c->cpu};
	*end = (struct kvm_cpuid_entry2){.function = leaf,
					 .index = 2,
					 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					 .ecx = 2,
					 .edx = c->cpu};
	return 0;
}

/* The guest learns the TSC's frequency instead of measuring it. */
static int timing(struct cpuid_table *t, const struct cpuid_config *c)
{
	struct kvm_cpuid_entry2 *base = cpuid_find(t, LEAF_HYPERVISOR, 0), *e;

	if (!base || !c->tsc_khz)
		return 0;
	e = find_or_add(t, LEAF_TIMING, 0);
	if (!e)
		return -E2BIG;
	e->eax = c->tsc_khz;
	e->ebx = CPUID_BUS_KHZ;
	if (base->eax < LEAF_TIMING)
		base->eax = LEAF_TIMING;
	return 0;
}

int cpuid_prepare(struct cpuid_table *t, const struct cpuid_config *c)
{
	struct kvm_cpuid_entry2 *amd = cpuid_find(t, LEAF_AMD_TOPOLOGY, 0);
	int r;

	features(t, c);
	if (amd)
		amd->eax = c->cpu;
	r = topology(t, c, LEAF_TOPOLOGY);
	if (r < 0)
		return r;
	r = topology(t, c, LEAF_TOPOLOGY_V2);
	return r < 0 ? r : timing(t, c);
}
