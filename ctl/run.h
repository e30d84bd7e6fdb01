/* SPDX-License-Identifier: MIT */
/* Starting theseus-vmm. */
#ifndef THESEUS_CTL_RUN_H
#define THESEUS_CTL_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl.h"
#include "target.h"

struct client;

#define RUN_TIMEOUT_NS (60ull * 1000000000ull)

/* What is to be started. Strings are borrowed; NULL = the default. */
struct run_config {
	const char *name;
	const char *accel, *guest, *bundle, *cmdline;
	uint64_t cpus, memory_mib;
	uint64_t timeout_ns; /* until it is ready */
	bool detach;         /* the VM lives on when this process ends */
};

struct run_vm {
	pid_t pid; /* a child; the caller reaps it or leaves it to init */
	struct target target;
};

/* Starts a VM and waits until it is ready. Result: exit status; on failure no process is left. */
int run_start(struct ctl *c, const struct run_config *config, struct run_vm *ret_vm);

/*
 * Waits at most @limit_ns for the process to end. Result: exit status; *ret_status as waitpid(2).
 * One that does not end is killed, and that is CTL_TIMED_OUT.
 */
int run_reap(struct ctl *c, pid_t pid, uint64_t limit_ns, int *ret_status);

/*
 * Ends a VM that this process started for a purpose of its own; @cl (NULL is fine) stays the
 * caller's. @result: what came of the purpose, which counts more than how the VM ended.
 */
int run_end(struct ctl *c, const struct run_vm *vm, struct client *cl, int result);

/* The two files that a VM boots from, and what cells are built and checked with (pack/build.h). */
enum run_file { RUN_GUEST, RUN_BUNDLE, RUN_SDK, RUN_CELLCHECK };

#define RUN_PATH_SIZE 4096

/*
 * The build directory: $THESEUS_BUILD, or the one that this program lies in. NULL: it was
 * installed. The result is the environment's or lies in @buf.
 */
const char *run_build_dir(char buf[RUN_PATH_SIZE]);

/*
 * Where such a file is: as its environment variable says, else in the build directory, else
 * where it was installed.
 */
int run_find_file(struct ctl *c, enum run_file which, char *buf, size_t size);

#endif
