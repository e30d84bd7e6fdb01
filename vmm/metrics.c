/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic uint64_t counters[_METRIC_MAX];

static const char *const names[_METRIC_MAX] = {
	[METRIC_EXIT_IO] = "exit_io",
	[METRIC_EXIT_MMIO] = "exit_mmio",
	[METRIC_EXIT_INTERRUPTED] = "exit_interrupted",
	[METRIC_EXIT_OTHER] = "exit_other",
	[METRIC_IO_UNKNOWN] = "io_unknown",
	[METRIC_KICKS] = "kicks",
	[METRIC_NOTIFICATIONS] = "notifications",
	[METRIC_INTERRUPTS] = "interrupts",
	[METRIC_INTERRUPTS_REFUSED] = "interrupts_refused",
	[METRIC_DEVICES_BROKEN] = "devices_broken",
	[METRIC_SERIAL_BYTES] = "serial_bytes",
	[METRIC_SERIAL_LOST] = "serial_lost",
	[METRIC_CONSOLE_BYTES_OUT] = "console_bytes_out",
	[METRIC_CONSOLE_BYTES_IN] = "console_bytes_in",
	[METRIC_CONSOLE_BYTES_LOST] = "console_bytes_lost",
	[METRIC_CONTROL_BYTES_OUT] = "control_bytes_out",
	[METRIC_CONTROL_BYTES_IN] = "control_bytes_in",
	[METRIC_FRAMES_FROM_GUEST] = "frames_from_guest",
	[METRIC_FRAMES_TO_GUEST] = "frames_to_guest",
	[METRIC_FRAMES_UNEXPECTED] = "frames_unexpected",
	[METRIC_GUEST_BYTES_SKIPPED] = "guest_bytes_skipped",
	[METRIC_EVENTS_LOST] = "events_lost",
	[METRIC_CLIENTS] = "clients_accepted",
	[METRIC_CLIENTS_REFUSED] = "clients_refused",
	[METRIC_CLIENTS_DROPPED] = "clients_dropped",
	[METRIC_CLIENT_FRAMES] = "client_frames",
	[METRIC_CLIENT_BYTES_SKIPPED] = "client_bytes_skipped",
	[METRIC_REQUESTS_LOST] = "requests_lost",
};

void metrics_add(enum metric m, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[m], n, memory_order_relaxed);
}

uint64_t metrics_get(enum metric m)
{
	return atomic_load_explicit(&counters[m], memory_order_relaxed);
}

const char *metrics_name(enum metric m)
{
	return names[m];
}
