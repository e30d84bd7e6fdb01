/* SPDX-License-Identifier: MIT */
/* The machine that KVM executes in this process. */
#ifndef VMM_MACHINE_KVM_H
#define VMM_MACHINE_KVM_H

#include <uv.h>

#include "machine.h"
#include "vm.h"

/*
 * Builds the machine: memory, guest and bundle loaded, vCPU threads waiting for start().
 * @vm (open) is consumed, also on failure. @events is copied, @loop borrowed.
 *
 * Result: 0 and *@ret_machine; -errno and @f, then @loop has to run once more to let go of
 * what is half built.
 */
int machine_kvm_new(const struct machine_config *config, struct vm *vm, uv_loop_t *loop,
		    const struct machine_events *events, struct machine **ret_machine,
		    struct failure *f) __attribute__((warn_unused_result));

#endif
