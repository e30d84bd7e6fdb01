/* SPDX-License-Identifier: MIT */
#include "serial.h"

#include <theseus/gate-call.h>
#include <theseus/platform.h>

#define UART_LSR (PLATFORM_PORT_COM1 + 5)
#define LSR_EMPTY 0x20u
#define DRAIN_TRIES 1000u
#define BATCH (GATE_PORTS_MAX - 1)

/*
 * Emulated UARTs take bytes as fast as they come: the line status is looked at once a batch,
 * in the same call that wrote it, and polled only if the UART turns out to be real.
 */
static bool wait_empty(void)
{
	for (unsigned i = 0; i < DRAIN_TRIES; i++) {
		struct gate_port status = {UART_LSR, 1, 0, 0};

		if (gate_port(&status, 1) < 0)
			return false;
		if (status.value & LSR_EMPTY)
			return true;
	}
	return false;
}

void serial_write(const char *data, size_t len)
{
	struct gate_port ports[GATE_PORTS_MAX];

	while (len > 0) {
		unsigned n = len < BATCH ? (unsigned)len : BATCH;

		for (unsigned i = 0; i < n; i++)
			ports[i] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1,
						      (unsigned char)data[i]};
		ports[n] = (struct gate_port){UART_LSR, 1, 0, 0};
		if (gate_port(ports, n + 1) < 0)
			return;
		if (!(ports[n].value & LSR_EMPTY) && !wait_empty())
			return;
		data += n;
		len -= n;
	}
}
