/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <theseus/loader.h>

CELL_INFO(.name = "vfs", .version = "1.0.0",
	  .summary = "files by path; the opener owns what is open", .safety = CELL_SAFE,
	  .quiescence = CELL_QUIESCE_ANY, .restart = CELL_RESTART_ALWAYS);
CELL_STATE(struct vfs_state, vfs);

CELL_CONSUMES(fs_ops);

#define ROOT_FS "memfs" /* mounted at `/` */

struct vfs_state *vfs_state(void)
{
	return &vfs;
}

struct spinlock *vfs_lock(struct handle h)
{
	return &vfs.locks[h.slot % FILE_LOCKS];
}

int vfs_fs(const struct fs_ops **ret_fs)
{
	struct fs_ops_h h;

	__atomic_load(&vfs.fs, &h, __ATOMIC_ACQUIRE);
	*ret_fs = fs_ops_get(h);
	if (*ret_fs)
		return 0;
	if (iface_find("fs_ops", ROOT_FS, &h.h) < 0)
		return -ENODEV;
	__atomic_store(&vfs.fs, &h, __ATOMIC_RELEASE);
	*ret_fs = fs_ops_get(h);
	return *ret_fs ? 0 : -ENODEV;
}

static int vfs_init(const struct cell_boot *boot)
{
	struct heap_type type = {0};

	(void)boot;
	return vfs_type(&type);
}
CELL_PROVIDE(cell_ops, vfs) = {.init = vfs_init};

/* ---- entries ---- */

int vfs_stat(const char *path, struct fs_stat *ret_stat)
{
	const struct fs_ops *fs = NULL;
	struct fs_stat stat = {0};
	struct fs_node node = {{0}};
	bool directory = false;
	int r = vfs_fs(&fs);

	if (r == 0)
		r = vfs_resolve(fs, path, &node, &directory);
	if (r == 0)
		r = fs->stat(node, &stat);
	if (r < 0)
		return r == -ESTALE ? -ENOENT : r;
	if (directory && stat.kind != FS_DIRECTORY)
		return -ENOTDIR;
	*ret_stat = stat;
	return 0;
}
CELL_EXPORT_BLOCKING(vfs_stat);

/* The file system, and where @path is in it. */
static int find_place(const char *path, const struct fs_ops **ret_fs, struct vfs_place *ret_place)
{
	int r = vfs_fs(ret_fs);

	return r < 0 ? r : vfs_place(*ret_fs, path, ret_place);
}

int vfs_mkdir(const char *path)
{
	LEDGER_WHOLE();
	const struct fs_ops *fs = NULL;
	struct vfs_place place = {.directory = false};
	struct fs_node node = {{0}};
	int r = find_place(path, &fs, &place);

	if (r < 0)
		return r;
	if (place.name.len == 0)
		return -EEXIST;
	return fs->create(place.dir, &place.name, FS_DIRECTORY, &node);
}
CELL_EXPORT_BLOCKING(vfs_mkdir);

static int remove_entry(const char *path, enum fs_kind kind)
{
	const struct fs_ops *fs = NULL;
	struct vfs_place place = {.directory = false};
	int r = find_place(path, &fs, &place);

	if (r < 0)
		return r;
	if (place.name.len == 0)
		return kind == FS_FILE ? -EISDIR : -EBUSY;
	if (kind == FS_FILE && place.directory)
		return -EISDIR;
	return fs->remove(place.dir, &place.name, kind);
}

int vfs_rmdir(const char *path)
{
	LEDGER_WHOLE();
	return remove_entry(path, FS_DIRECTORY);
}
CELL_EXPORT_BLOCKING(vfs_rmdir);

int vfs_unlink(const char *path)
{
	LEDGER_WHOLE();
	return remove_entry(path, FS_FILE);
}
CELL_EXPORT_BLOCKING(vfs_unlink);

/* A '/' behind a name asks for a directory. */
static int check_directory(const struct fs_ops *fs, const struct vfs_place *place)
{
	struct fs_node node = {{0}};
	struct fs_stat stat = {0};
	int r = fs->lookup(place->dir, &place->name, &node);

	if (r == 0)
		r = fs->stat(node, &stat);
	if (r < 0)
		return r == -ESTALE ? -ENOENT : r;
	return stat.kind == FS_DIRECTORY ? 0 : -ENOTDIR;
}

int vfs_rename(const char *from, const char *to)
{
	LEDGER_WHOLE();
	struct vfs_place old = {.directory = false}, new = old;
	const struct fs_ops *fs = NULL;
	int r = find_place(from, &fs, &old);

	if (r == 0)
		r = vfs_place(fs, to, &new);
	if (r < 0)
		return r;
	if (old.name.len == 0 || new.name.len == 0)
		return -EBUSY;
	if (old.directory || new.directory)
		r = check_directory(fs, &old);
	return r < 0 ? r : fs->rename(old.dir, &old.name, new.dir, &new.name);
}
CELL_EXPORT_BLOCKING(vfs_rename);
