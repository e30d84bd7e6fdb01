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

/* What switch_to() leaves on a stack: switch.S. */
struct saved {
	uint32_t mxcsr;
	uint16_t x87_cw;
	uint16_t padding;
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t rip;
	uint64_t end[2]; /* keeps the bottom frame's calls aligned */
};

void switch_prepare(struct switch_context *ctx, uint64_t stack_top, uint64_t fs_base,
		    const struct iface_slot *slot, uint64_t arg)
{
	struct saved *saved = (struct saved *)(uintptr_t)(stack_top - sizeof(*saved));

	*saved = (struct saved){
		.mxcsr = MXCSR_DEFAULT,
		.x87_cw = X87_CW_DEFAULT,
		.r12 = (uintptr_t)slot,
		.r13 = arg,
		.rip = (uintptr_t)switch_bottom,
	};
	*ctx = (struct switch_context){.rsp = (uintptr_t)saved, .fs_base = fs_base};
}
