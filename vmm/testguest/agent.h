/* SPDX-License-Identifier: MIT */
#ifndef TESTGUEST_AGENT_H
#define TESTGUEST_AGENT_H

#include "driver.h"

/* The queues' memory; agent_run() starts the device afresh with it. */
extern struct driver_queue queues[DRIVER_QUEUES];

/* Serves the control port and echoes the console until told to end; see agent.c. */
_Noreturn void agent_run(void);

#endif
