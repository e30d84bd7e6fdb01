/* SPDX-License-Identifier: MIT */
/* What the end of a guest means: for people, and as the exit status of theseus-vmm. */
#ifndef VMM_END_H
#define VMM_END_H

#include "machine.h"

/* Exit statuses; the man page lists them. 0: the guest powered off as asked. */
enum end_status {
	STATUS_POWEROFF = 0,
	STATUS_NOT_STARTED = 1, /* or theseus-vmm itself failed */
	STATUS_USAGE = 2,
	STATUS_RESET = 10,
	STATUS_GATE_CRASH = 11,
	STATUS_CELL_CRASH = 12,
	STATUS_TRIPLE_FAULT = 13,
	STATUS_INTERNAL_ERROR = 14,
	STATUS_CHILD_DIED = 15,
	STATUS_FORCED = 16,
	STATUS_UNKNOWN_CODE = 17,
	STATUS_SANDBOX = 18,
	STATUS_PANICKED = 19,
	STATUS_TEST_OK = 32,
	STATUS_TEST_FAIL = 33,
};

/* Puts the meaning of an exit code into @end->text. Result: the exit status. */
enum end_status end_describe(struct machine_end *end);

#endif
