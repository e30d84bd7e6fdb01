/* SPDX-License-Identifier: MIT */
#include "machine.h"

/* On the machine a window address is what it says; unit tests have a buffer instead. */
void *machine_bytes(uint32_t at)
{
	return (void *)(uintptr_t)window_addr(at);
}
