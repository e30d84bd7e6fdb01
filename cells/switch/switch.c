/* SPDX-License-Identifier: MIT */
#include <theseus/switch.h>

CELL_INFO(.name = "switch", .version = "1.0.0",
	  .summary = "context switch, bottom frames, upcall trampolines", .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "switches stacks; where the gate enters and faults land can only be assembly",
	  .quiescence = CELL_QUIESCE_IDLE);

CELL_EXPORT(switch_to);
CELL_EXPORT(switch_prepare);
CELL_EXPORT(switch_cpu_entry);
CELL_EXPORT(switch_protect);
CELL_EXPORT(switch_land);
CELL_EXPORT(switch_upcall_irq);
CELL_EXPORT(switch_upcall_fault);
CELL_EXPORT(switch_upcall_nmi);
CELL_EXPORT(switch_upcall_last);

_Static_assert(offsetof(struct switch_context, rsp) == 0, "switch.S");
_Static_assert(offsetof(struct switch_context, fs_base) == 8, "switch.S");
_Static_assert(offsetof(struct switch_context, landing) == 16, "switch.S");
_Static_assert(offsetof(struct switch_context, running) == 24, "switch.S");
_Static_assert(offsetof(struct bottom_ops, bottom) == 0, "switch.S");

#define MXCSR_DEFAULT 0x1f80u
#define X87_CW_DEFAULT 0x037fu

void switch_bottom(void) __attribute__((visibility("hidden")));

void switch_prepare(struct switch_context *ctx, uint64_t stack_top, uint64_t fs_base,
		    const struct iface_slot *slot, uint64_t arg)
{
	struct switch_saved *saved = (struct switch_saved *)(uintptr_t)(stack_top - sizeof(*saved));

	*saved = (struct switch_saved){
		.mxcsr = MXCSR_DEFAULT,
		.x87_cw = X87_CW_DEFAULT,
		.r12 = (uintptr_t)slot,
		.r13 = arg,
		.rip = (uintptr_t)switch_bottom,
	};
	*ctx = (struct switch_context){.rsp = (uintptr_t)saved, .fs_base = fs_base};
}
