/* SPDX-License-Identifier: MIT */
/* Starting CPUs that are not there: the runner gives two, the command line says four. */
#include "payload.h"

static volatile uint64_t up;

static void other_cpu(void)
{
	up = cpu_index();
	for (;;)
		gate_call(GATE_IDLE, 0, 0, 0);
}

void payload_main(void)
{
	uint64_t pa = take_frames(1);

	EXPECT(BOOT->cpus, 4);
	EXPECT(start_cpu(3, other_cpu), -ETIMEDOUT);
	EXPECT(gate_call(GATE_IPI, 3, 0x40, 0), -ENODEV);
	/* neither the try nor what it left behind is in the way */
	EXPECT(start_cpu(1, other_cpu), 0);
	CHECK(wait_for(&up, 1));
	EXPECT(gate_call(GATE_IPI, GATE_IPI_OTHERS, 0x40, 0), 0);
	EXPECT(run_call(GATE_MAP, GATE_DYNAMIC, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(run_call(GATE_UNMAP, GATE_DYNAMIC, 0, 1, 0), 1);
	EXPECT(start_cpu(4, other_cpu), -EINVAL);
}
