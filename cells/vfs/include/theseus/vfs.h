/* SPDX-License-Identifier: MIT */
/*
 * vfs: files by path, on the file system that is mounted at `/`.
 *
 * An open file is a typed object that belongs to whoever opened it: vfs itself keeps nothing
 * of its clients, and the object outlives any restart of vfs and of the file system. It goes
 * with vfs_close(), or with the owner's task.
 *
 * Paths are absolute, at most VFS_PATH_MAX bytes with the NUL; "." and ".." are understood,
 * and a '/' at the end says that it is a directory. Every function is a blocking export: it
 * waits while vfs or the file system is being restarted, and returns -ECANCELED when its task
 * is killed in that. Context: tasks at mask depth 0.
 *
 * Errors, besides those named below: -ENOENT and -ENOTDIR for what leads to the last name;
 * -ENAMETOOLONG; -EINVAL (not an absolute path, "." or ".." where an entry is made or
 * removed); -ESTALE (the file is not open); -ENODEV (no file system).
 */
#ifndef THESEUS_VFS_H
#define THESEUS_VFS_H

#include <theseus/fs.h>

#define VFS_PATH_MAX 1024u
#define VFS_IO_MAX (1u << 20) /* bytes that one call reads or writes at most */

/* Handle of an open file; a value. {0} is none. What is behind it only vfs knows. */
struct vfs_file {
	struct handle h;
};

enum vfs_open_flags {
	VFS_READ = 1,
	VFS_WRITE = 2,
	VFS_CREATE = 4,     /* an empty file, if there is none */
	VFS_EXCLUSIVE = 8,  /* with VFS_CREATE: -EEXIST if there is one */
	VFS_TRUNCATE = 16,  /* to 0 bytes; with VFS_WRITE */
	VFS_APPEND = 32,    /* each write goes to the end */
	VFS_DIRECTORY = 64, /* to be read with vfs_readdir(); -ENOTDIR for a file */
};

/*
 * Opens a file, at position 0, for @owner: usually {CELL_SELF, task_id(task_self())}, or
 * without a task, to live until vfs_close(). Result: 0; -ENOENT, -EEXIST, -EISDIR (a
 * directory without VFS_DIRECTORY), -EINVAL (flags that contradict), -ENOMEM, -ENOSPC.
 */
int vfs_open(const char *path, unsigned flags, struct object_owner owner,
	     struct vfs_file *ret_file) MUST_USE;
int vfs_close(struct vfs_file file);

/* Cleanup helper: OWNED(vfs_close_drop) struct vfs_file file = {0}; */
static inline __attribute__((unused)) void vfs_close_drop(struct vfs_file *file)
{
	if (file->h.type)
		(void)vfs_close(*file);
}

/*
 * Reads or writes at the position and moves it. Tasks that share an open file see each
 * other's moves as if one of two calls at the same time had come first. Result: bytes, fewer than
 * @n at the end of the file, of VFS_IO_MAX, or of room and memory; 0: the end; -EBADF (not opened
 * for it), -EISDIR, -EFBIG, -ENOMEM, -ENOSPC.
 */
int64_t vfs_read(struct vfs_file file, void *buf, size_t n) MUST_USE;
int64_t vfs_write(struct vfs_file file, const void *buf, size_t n) MUST_USE;

enum vfs_whence {
	VFS_FROM_START = 0,
	VFS_FROM_HERE = 1,
	VFS_FROM_END = 2,
};
/* Result: the new position; -EINVAL (before the start, or unknown @whence), -EISDIR. */
int64_t vfs_seek(struct vfs_file file, int64_t offset, enum vfs_whence whence);
/* Cuts the file, or extends it with zeros. -EBADF, -EFBIG. The position stays. */
int vfs_truncate(struct vfs_file file, uint64_t size) MUST_USE;

/*
 * The next entry of a directory, in no order; "." and ".." are none. Entries that come or
 * go meanwhile may be seen or not. Result: 1; 0 = no more; -ENOTDIR.
 */
int vfs_readdir(struct vfs_file file, struct fs_entry *ret_entry) MUST_USE;
int vfs_file_stat(struct vfs_file file, struct fs_stat *ret_stat) MUST_USE;

int vfs_stat(const char *path, struct fs_stat *ret_stat) MUST_USE;
int vfs_mkdir(const char *path) MUST_USE;  /* -EEXIST, -ENOMEM, -ENOSPC */
int vfs_rmdir(const char *path) MUST_USE;  /* -ENOTEMPTY, -EBUSY (the root) */
int vfs_unlink(const char *path) MUST_USE; /* -EISDIR; who has it open keeps it */
/* As fs_ops.rename. */
int vfs_rename(const char *from, const char *to) MUST_USE;

#endif
