/* SPDX-License-Identifier: MIT */
/*
 * The places of a VM on disk: DIR/sock and DIR/pid in its runtime directory, the log in its
 * state directory. For root these are /run/theseus/NAME and /var/lib/theseus/NAME, else
 * $XDG_RUNTIME_DIR/theseus/NAME and $XDG_STATE_HOME (or ~/.local/state)/theseus/NAME.
 *
 * A lock on DIR/pid is held as long as the VM lives; what a dead one left is taken over.
 */
#ifndef VMM_RUNDIR_H
#define VMM_RUNDIR_H

#include <limits.h>

#include "failure.h"

#define RUNDIR_NAME_MAX 64u

struct rundir {
	char dir[PATH_MAX - 8];
	char pid[PATH_MAX], sock[PATH_MAX];
	int lock_fd;   /* -1 = not ours */
	int listen_fd; /* -1 = none, or given away */
};

/* Letters, digits, '.', '_', '-'; not at the start: '.', '-'. */
int rundir_name_ok(const char *name);

/*
 * Claims the name: makes the directory, takes the lock, writes the pid, listens on @socket
 * (NULL: DIR/sock), which only this user may connect to.
 *
 * Result: 0; -EBUSY if a VM of that name lives, else -errno; @f says why.
 */
int rundir_claim(struct rundir *d, const char *name, const char *socket, struct failure *f)
	__attribute__((warn_unused_result));

/* Removes what rundir_claim() made. Also after a failed claim, and twice. */
void rundir_release(struct rundir *d);

/* Makes the state directory of @name. Result: 0 and the path of its vmm.log, or -errno. */
int rundir_log_path(const char *name, char ret_path[PATH_MAX], struct failure *f)
	__attribute__((warn_unused_result));

#endif
