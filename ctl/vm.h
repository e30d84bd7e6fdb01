/* SPDX-License-Identifier: MIT */
/* What other families need of a VM as a whole. */
#ifndef THESEUS_CTL_VM_H
#define THESEUS_CTL_VM_H

#include "client.h"
#include "ctl.h"

#define VM_STOP_LIMIT_NS (10ull * 1000000000ull)

/* theseus-vmm's view of the VM. Result: exit status; free with theseus__vm_response__free_unpacked.
 */
int vm_status(struct client *cl, Theseus__VmResponse **ret_response);

/*
 * Ends the VM of theseus-vmm behind @cl and waits until the process is gone. @limit_ns is for
 * the guest's shutdown; @force asks nobody. *ret_response (how it ended) may become NULL.
 */
int vm_end(struct client *cl, bool force, uint64_t limit_ns, Theseus__VmResponse **ret_response);

#endif
