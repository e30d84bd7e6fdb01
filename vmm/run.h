/* SPDX-License-Identifier: MIT */
/* One VM from start to end: what main() has left to do once the options are read. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "end.h"
#include "machine.h"

enum accel {
	ACCEL_AUTO,
	ACCEL_KVM,
	ACCEL_TCG,
	_ACCEL_MAX,
	_ACCEL_INVALID = -22,
};

struct run_config {
	const char *name;
	const char *log;    /* path; NULL = the default */
	const char *socket; /* path; NULL = the default */
	enum accel accel;
	bool sandbox; /* seccomp filters */
	int ready_fd; /* gets one line when the guest is ready or will not be; -1 = none */
	struct machine_config machine;
};

/*
 * Runs the VM. Why it could not start goes to stderr, what happens then to the log.
 * Result: the exit status.
 */
enum end_status run(const struct run_config *config);

#endif
