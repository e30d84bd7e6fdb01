/* SPDX-License-Identifier: MIT */
#ifndef VFS_INTERNAL_H
#define VFS_INTERNAL_H

#include <theseus/ledger.h>
#include <theseus/spinlock.h>
#include <theseus/vfs.h>

#include "path.h"

#define FILE_LOCKS 32u

SPINLOCK_ROLE(vfs_files);

/*
 * All that vfs knows: nothing of any client. A lost state is found again by names.
 *
 * An open file is looked at only under the lock of its slot, shortly: what a call needs of it
 * is copied, and what it changed is put back if the file is still open.
 */
struct vfs_state {
	uint32_t type; /* atomic: heap_type.id; 0 = not known yet */
	struct fs_ops_h fs __attribute__((aligned(8))); /* atomic as a whole */
	struct spinlock locks[FILE_LOCKS]; /* vfs_files */
};

struct vfs_state *vfs_state(void);
/* The file system, or -ENODEV. The table is good until the caller returns. */
int vfs_fs(const struct fs_ops **ret_fs) MUST_USE;
int vfs_type(struct heap_type *ret_type) MUST_USE; /* 0, -ENOMEM */
struct spinlock *vfs_lock(struct handle h);

/* ---- walk.c ---- */

/* What @path names. *@ret_directory: the path says that it is a directory. */
int vfs_resolve(const struct fs_ops *fs, const char *path, struct fs_node *ret_node,
		bool *ret_directory) MUST_USE;

struct vfs_place {
	struct fs_node dir;
	struct fs_name name; /* len 0: the root, which is in no directory */
	bool directory;      /* a '/' stood behind the name */
};

/* Directory and name of @path; whether there is such an entry does not matter. */
int vfs_place(const struct fs_ops *fs, const char *path, struct vfs_place *ret_place) MUST_USE;

#endif
