/* SPDX-License-Identifier: MIT */
/*
 * What the guest could do through us if it took us over: no new privileges, small limits, and
 * only the system calls that a running VM needs. vCPU threads get a stricter list than the
 * loop thread, because the guest is next to them.
 *
 * The filters are compiled at build time (sandbox-gen.c). AddressSanitizer and its kin need
 * system calls of their own, ptrace at exit among them, so such builds run without filters:
 * sandbox_enter() then does nothing and sandbox_active() says so.
 */
#ifndef VMM_SANDBOX_H
#define VMM_SANDBOX_H

#include <stdbool.h>

enum sandbox_role {
	SANDBOX_LOOP,     /* the loop thread of a KVM machine */
	SANDBOX_LOOP_TCG, /* the same with a QEMU child: may wait for it and kill it */
	SANDBOX_VCPU,
	_SANDBOX_ROLE_MAX,
	_SANDBOX_ROLE_INVALID = -22,
};

/* Does this build have filters? */
bool sandbox_active(void);

/*
 * For the whole process, before the guest runs and before any filter: no_new_privs, resource
 * limits, and a handler that names a refused system call on @log_fd and on stderr before the
 * process ends with STATUS_SANDBOX. Result: 0 or -errno.
 */
int sandbox_prepare(int log_fd) __attribute__((warn_unused_result));

/* Confines the calling thread for good. Result: 0 or -errno. */
int sandbox_enter(enum sandbox_role role) __attribute__((warn_unused_result));

#endif
