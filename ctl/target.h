/* SPDX-License-Identifier: MIT */
/* Which VM a command is for, and where VMs are found on this host. */
#ifndef THESEUS_CTL_TARGET_H
#define THESEUS_CTL_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl.h"

#define TARGET_PATH_MAX 4096

enum target_kind {
	TARGET_SOCKET, /* theseus-vmm's operator socket */
	TARGET_DOMAIN, /* a libvirt domain */
};

struct target {
	enum target_kind kind;
	const char *name;           /* for messages; borrowed from the struct ctl or owned below */
	char path[TARGET_PATH_MAX]; /* TARGET_SOCKET */
	char found[65];             /* the name, where it was found and not given */
};

enum target_use {
	TARGET_READS,   /* the VM may be left out while one runs */
	TARGET_CHANGES, /* it must be named */
};

/* Result: 0 and *ret_target, else an exit status. @ret_target must not be copied. */
int target_resolve(struct ctl *c, enum target_use use, struct target *ret_target);

/* The name of the VM that is to be made: from -n or THESEUS_VM, checked. */
int target_new_name(struct ctl *c, const char **ret_name);

/* Path of @what ("sock") of VM @name in the runtime folder. */
int target_path(struct ctl *c, const char *name, const char *what, char *buf, size_t size);

/* Does theseus-vmm still listen, or is the folder left from one that was killed? */
bool target_listens(struct ctl *c, const char *name);

/* The VMs of this user that accept connections, sorted; free with target_list_free(). */
int target_list(struct ctl *c, char ***ret_names, size_t *ret_n);
void target_list_free(char **names, size_t n);

#endif
