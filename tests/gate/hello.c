/* SPDX-License-Identifier: MIT */
/* The smallest ring-3 program: powers off. */
#include <theseus/gate.h>
#include <theseus/platform.h>

_Noreturn void seed_start(void);

_Noreturn void seed_start(void)
{
	for (;;)
		gate_call(GATE_POWER, PLATFORM_EXIT_POWEROFF, 0, 0);
}
