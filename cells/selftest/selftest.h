/* SPDX-License-Identifier: MIT */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <theseus/command.h>
#include <theseus/task.h>

/* What is tried, and what it must come to. */
struct check {
	const char *name; /* "G1: …" */
	/* Result: 0 when it was refused as it should be, else what came instead. */
	int64_t (*run)(void);
};

/* A deliberate fault, tried in a task of its own. */
struct fault_check {
	const char *name;
	void (*run)(void); /* must not come back */
	uint32_t vector;
};

extern const struct check gate_checks[];
extern const unsigned n_gate_checks;
extern const struct fault_check fault_checks[];
extern const unsigned n_fault_checks;

#endif
