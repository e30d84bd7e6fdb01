/* SPDX-License-Identifier: MIT */
/*
 * The state a vCPU starts in. What real VT-x refuses at VM entry must be refused by us too:
 * software KVM hosts and TCG would forgive it.
 */
#ifndef VMM_VCPU_STATE_H
#define VMM_VCPU_STATE_H

#include <linux/kvm.h>

#include "failure.h"
#include "memory.h"

/*
 * PVH entry: 32-bit protected mode, flat segments, paging and interrupts off, EBX =
 * @start_info. @s is taken from KVM_GET_SREGS (apic_base is kept), @r is overwritten.
 */
void vcpu_state_pvh(struct kvm_sregs *s, struct kvm_regs *r, gpa_t entry, gpa_t start_info);

/*
 * The checks on the guest-state area of SDM vol. 3, 26.3.1, as far as this state has the
 * fields; strict where the manual makes exceptions for "unrestricted guest", except that
 * paging may be off. CR0.NE is left out: KVM keeps it set behind the guest's back.
 *
 * Result: 0, or -EINVAL and the rule in @f.
 */
int vcpu_state_check(const struct kvm_sregs *s, const struct kvm_regs *r, struct failure *f)
	__attribute__((warn_unused_result));

#endif
