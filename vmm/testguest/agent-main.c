/* SPDX-License-Identifier: MIT */
#include "agent.h"

void guest_main(void)
{
	agent_run();
}
