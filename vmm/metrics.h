/* SPDX-License-Identifier: MIT */
/*
 * Counters of this process. A process is one VM, so they are process-wide. Any thread may
 * count at any time; a reader sees each counter whole, not all of one instant.
 */
#ifndef VMM_METRICS_H
#define VMM_METRICS_H

#include <stdint.h>

enum metric {
	METRIC_EXIT_IO,
	METRIC_EXIT_MMIO,
	METRIC_EXIT_INTERRUPTED, /* kicks, and signals that hit a vCPU thread */
	METRIC_EXIT_OTHER,
	METRIC_IO_UNKNOWN,         /* accesses to ports and addresses where nothing listens */
	METRIC_KICKS,              /* vCPU threads asked to leave the guest */
	METRIC_NOTIFICATIONS,      /* queue notifications by the guest */
	METRIC_INTERRUPTS,         /* MSIs sent to the guest */
	METRIC_INTERRUPTS_REFUSED, /* the guest programmed an address that is no interrupt */
	METRIC_DEVICES_BROKEN,     /* devices that needed a reset after a bad queue */
	METRIC_SERIAL_BYTES,
	METRIC_SERIAL_LOST,
	METRIC_CONSOLE_BYTES_OUT, /* guest to host */
	METRIC_CONSOLE_BYTES_IN,
	METRIC_CONSOLE_BYTES_LOST, /* not kept for a client that does not read */
	METRIC_CONTROL_BYTES_OUT,
	METRIC_CONTROL_BYTES_IN,
	METRIC_FRAMES_FROM_GUEST,
	METRIC_FRAMES_TO_GUEST,
	METRIC_FRAMES_UNEXPECTED, /* of a type that the sender may not send, or for nobody */
	METRIC_GUEST_BYTES_SKIPPED,
	METRIC_EVENTS_LOST,     /* not kept for a client that does not read */
	METRIC_CLIENTS,         /* connections accepted */
	METRIC_CLIENTS_REFUSED, /* foreign user, or too many */
	METRIC_CLIENTS_DROPPED, /* half a frame for too long, or answers not read */
	METRIC_CLIENT_FRAMES,
	METRIC_CLIENT_BYTES_SKIPPED,
	METRIC_REQUESTS_LOST, /* answered with STATUS_LOST */
	_METRIC_MAX,
};

void metrics_add(enum metric m, uint64_t n);
uint64_t metrics_get(enum metric m);

/* Stable lower-case name for programs. Result: static storage. */
const char *metrics_name(enum metric m);

#endif
