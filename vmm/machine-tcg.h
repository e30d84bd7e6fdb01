/* SPDX-License-Identifier: MIT */
/*
 * The machine that a QEMU child executes in software. The child never outlives this process,
 * and its end is the machine's end.
 */
#ifndef VMM_MACHINE_TCG_H
#define VMM_MACHINE_TCG_H

#include <uv.h>

#include "machine.h"

/*
 * Checks guest and bundle as KVM's machine would, and starts QEMU. @events is copied, @loop
 * borrowed. The child exists before this process confines itself.
 *
 * Result: 0 and *@ret_machine; -errno and @f, then @loop has to run once more to let go of
 * what is half built.
 */
int machine_tcg_new(const struct machine_config *config, uv_loop_t *loop,
		    const struct machine_events *events, struct machine **ret_machine,
		    struct failure *f) __attribute__((warn_unused_result));

#endif
