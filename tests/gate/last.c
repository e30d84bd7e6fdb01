/* SPDX-License-Identifier: MIT */
/* A fault while the fault slot is busy: the last-resort entry once, then G6. */
#include "payload.h"

void last_handler(void);

static void touch_low(void)
{
	touch_read(0x100);
}

void last_handler(void)
{
	const struct gate_cpu *c = cpu_block(0);

	EXPECT(c->fault.vector, 6); /* the fault that nobody finished is still there */
	EXPECT(c->fault.busy, 1);
	EXPECT(c->irq.vector, 14);
	EXPECT(c->irq.cr2, 0xbad0);
	EXPECT(c->mask & ~GATE_MASK_PENDING, 3);
	say("1..6\n");
	touch_low(); /* not again */
	say("Bail out! the last entry came back\n");
}

void payload_main(void)
{
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_LAST, (uint64_t)last_entry, 0), 0);
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_FAULT, (uint64_t)bad_fault_entry, 0), 0);
	__asm__ volatile("ud2");
}
