/* SPDX-License-Identifier: MIT */
/* Open files. */
#include "internal.h"

#include <string.h>

#define FLAGS_ALL                                                                                  \
	(VFS_READ | VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE | VFS_TRUNCATE | VFS_APPEND |           \
	 VFS_DIRECTORY)
#define OPEN_TRIES 8u

struct open_file {
	struct fs_node node; /* held open; {0}: not yet */
	uint32_t flags;
	uint64_t pos; /* of a directory: cookie of the next entry */
};

/* What the client's handle stands for. */
struct file {
	struct open_file open GUARDED_BY(vfs_files);
};

/* ---- the type ---- */

/* The ledger ends a file of a task that ended: it is behind no handle any more. */
static void drop(struct handle h, void *object)
{
	const struct file *f = object;
	const struct fs_ops *fs = NULL;
	struct fs_node node = {{0}};

	spin_lock_as(vfs_lock(h), vfs_files); /* whoever still looks at it is through */
	node = f->open.node;
	spin_unlock_as(vfs_lock(h), vfs_files);
	if (node.h.type && vfs_fs(&fs) == 0)
		fs->close(node);
}
CELL_PROVIDE(object_ops, vfs_file) = {.drop = drop};

int vfs_type(struct heap_type *ret_type)
{
	struct heap_type type = {__atomic_load_n(&vfs_state()->type, __ATOMIC_RELAXED)};
	int r = 0;

	if (type.id == 0) {
		r = heap_type_find(CELL_SELF, "file", &type);
		if (r == -ENOENT)
			r = heap_type_create(CELL_SELF, "file", sizeof(struct file),
					     IFACE(object_ops, vfs_file), &type);
		if (r == -EEXIST) /* another task was quicker */
			r = heap_type_find(CELL_SELF, "file", &type);
	}
	if (r < 0)
		return r;
	__atomic_store_n(&vfs_state()->type, type.id, __ATOMIC_RELAXED);
	*ret_type = type;
	return 0;
}

/* ---- what calls need of a file ---- */

/* A copy of the open file, and what it lies in. Result: 0, -ESTALE, -ENOMEM, -ENODEV. */
static int file_look(struct vfs_file file, struct open_file *ret_file, const struct fs_ops **ret_fs)
{
	struct heap_type type = {0};
	const struct file *f;
	int r = vfs_fs(ret_fs);

	if (r == 0)
		r = vfs_type(&type);
	if (r < 0)
		return r;
	spin_lock_as(vfs_lock(file.h), vfs_files);
	f = object_get(type, file.h);
	if (f)
		*ret_file = f->open;
	spin_unlock_as(vfs_lock(file.h), vfs_files);
	return f && ret_file->node.h.type ? 0 : -ESTALE;
}

/* Moves the position, if the file is still open. */
static void file_move(struct vfs_file file, uint64_t pos)
{
	struct heap_type type = {0};
	struct file *f;

	if (vfs_type(&type) < 0)
		return;
	spin_lock_as(vfs_lock(file.h), vfs_files);
	f = object_get(type, file.h);
	if (f)
		f->open.pos = pos;
	spin_unlock_as(vfs_lock(file.h), vfs_files);
}

/* ---- open and close ---- */

static int check_flags(unsigned flags)
{
	bool directory = flags & VFS_DIRECTORY;

	if (flags & ~(unsigned)FLAGS_ALL || !(flags & (VFS_READ | VFS_WRITE | VFS_DIRECTORY)))
		return -EINVAL;
	if (directory && flags & ~(unsigned)(VFS_DIRECTORY | VFS_READ))
		return -EINVAL;
	if (flags & (VFS_TRUNCATE | VFS_APPEND) && !(flags & VFS_WRITE))
		return -EINVAL;
	return flags & VFS_EXCLUSIVE && !(flags & VFS_CREATE) ? -EINVAL : 0;
}

/* The node at @path, made if need be. */
static int find_or_create(const struct fs_ops *fs, const char *path, unsigned flags,
			  struct fs_node *ret_node)
{
	struct vfs_place place = {.directory = false};
	int r = vfs_place(fs, path, &place);

	if (r < 0)
		return r;
	if (place.name.len == 0 || place.directory)
		return -EISDIR;
	r = flags & VFS_EXCLUSIVE ? -ENOENT : fs->lookup(place.dir, &place.name, ret_node);
	if (r == -ENOENT)
		r = fs->create(place.dir, &place.name, FS_FILE, ret_node);
	return r == -EEXIST && !(flags & VFS_EXCLUSIVE) ? -ENOENT : r; /* just now: once more */
}

/* A '/' behind the name of a file, which is none then. */
static int no_file(const struct fs_ops *fs, struct fs_node node)
{
	struct fs_stat stat = {0};
	int r = fs->stat(node, &stat);

	if (r < 0)
		return r;
	return stat.kind == FS_DIRECTORY ? -EISDIR : -ENOTDIR;
}

static int find(const struct fs_ops *fs, const char *path, unsigned flags, struct fs_node *ret_node)
{
	bool directory = false;
	int r;

	if (flags & VFS_CREATE)
		return find_or_create(fs, path, flags, ret_node);
	r = vfs_resolve(fs, path, ret_node, &directory);
	if (r == 0 && directory && !(flags & VFS_DIRECTORY))
		r = no_file(fs, *ret_node);
	return r == -ESTALE ? -ENOENT : r;
}

/* Holds the node open and notes it. The caller's scope is LEDGER_WHOLE(). */
static int attach(struct heap_type type, struct handle h, const struct fs_ops *fs,
		  struct fs_node node, unsigned flags)
{
	struct file *f;
	int r = fs->open(node, flags & VFS_DIRECTORY ? FS_DIRECTORY : FS_FILE);

	if (r < 0)
		return r;
	spin_lock_as(vfs_lock(h), vfs_files);
	f = object_get(type, h);
	if (f)
		f->open = (struct open_file){.node = node, .flags = flags};
	spin_unlock_as(vfs_lock(h), vfs_files);
	if (f)
		return 0;
	fs->close(node); /* the owner ended meanwhile */
	return -ESTALE;
}

/* What was there, or was made, may be removed again before it is open: then from the start. */
static int find_and_attach(struct heap_type type, struct handle h, const struct fs_ops *fs,
			   const char *path, unsigned flags, struct fs_node *ret_node)
{
	int r = -ENOENT;

	for (unsigned i = 0; i < OPEN_TRIES && r == -ENOENT; i++) {
		r = find(fs, path, flags, ret_node);
		if (r == 0)
			r = attach(type, h, fs, *ret_node, flags);
		if (!(flags & VFS_CREATE))
			break;
	}
	return r;
}

int vfs_open(const char *path, unsigned flags, struct object_owner owner, struct vfs_file *ret_file)
{
	LEDGER_WHOLE();
	OWNED(vfs_close_drop) struct vfs_file file = {0};
	const struct fs_ops *fs = NULL;
	struct heap_type type = {0};
	struct fs_node node = {{0}};
	int r = check_flags(flags);

	if (r == 0)
		r = vfs_fs(&fs);
	if (r == 0)
		r = vfs_type(&type);
	if (r == 0)
		r = object_create(type, owner, &file.h);
	if (r == 0)
		r = find_and_attach(type, file.h, fs, path, flags, &node);
	if (r == 0 && flags & VFS_TRUNCATE)
		r = fs->truncate(node, 0);
	if (r == 0)
		*ret_file = TAKE(file);
	return r;
}
CELL_EXPORT_BLOCKING(vfs_open);

int vfs_close(struct vfs_file file)
{
	LEDGER_WHOLE();
	const struct fs_ops *fs = NULL;
	struct heap_type type = {0};
	struct fs_node node = {{0}};
	void *object = NULL;
	int r = vfs_type(&type);

	if (r == 0)
		r = vfs_fs(&fs);
	if (r < 0)
		return r;
	/* who gets the object closes the node: this, or the ledger */
	spin_lock_as(vfs_lock(file.h), vfs_files);
	r = object_retire(type, file.h, &object);
	if (r == 0)
		node = ((const struct file *)object)->open.node;
	spin_unlock_as(vfs_lock(file.h), vfs_files);
	if (r < 0)
		return r;
	if (node.h.type)
		fs->close(node);
	object_release(object);
	return 0;
}
CELL_EXPORT_BLOCKING(vfs_close);

/* ---- contents ---- */

static int for_io(struct vfs_file file, unsigned flag, struct open_file *ret_file,
		  const struct fs_ops **ret_fs)
{
	int r = file_look(file, ret_file, ret_fs);

	if (r < 0)
		return r;
	if (ret_file->flags & VFS_DIRECTORY)
		return -EISDIR;
	return ret_file->flags & flag ? 0 : -EBADF;
}

int64_t vfs_read(struct vfs_file file, void *buf, size_t n)
{
	const struct fs_ops *fs = NULL;
	struct open_file f = {.flags = 0};
	int64_t r = for_io(file, VFS_READ, &f, &fs);

	if (r == 0)
		r = fs->read(f.node, f.pos, buf, n < VFS_IO_MAX ? n : VFS_IO_MAX);
	if (r > 0)
		file_move(file, f.pos + (uint64_t)r);
	return r;
}
CELL_EXPORT_BLOCKING(vfs_read);

int64_t vfs_write(struct vfs_file file, const void *buf, size_t n)
{
	LEDGER_WHOLE();
	const struct fs_ops *fs = NULL;
	struct open_file f = {.flags = 0};
	int64_t r = for_io(file, VFS_WRITE, &f, &fs);

	if (r < 0)
		return r;
	if (f.flags & VFS_APPEND)
		f.pos = FS_APPEND;
	r = fs->write(f.node, &f.pos, buf, n < VFS_IO_MAX ? n : VFS_IO_MAX);
	if (r > 0)
		file_move(file, f.pos);
	return r;
}
CELL_EXPORT_BLOCKING(vfs_write);

static int64_t origin_of(const struct fs_ops *fs, const struct open_file *f, enum vfs_whence whence)
{
	struct fs_stat stat = {0};
	int r;

	switch (whence) {
	case VFS_FROM_START:
		return 0;
	case VFS_FROM_HERE:
		return (int64_t)f->pos;
	case VFS_FROM_END:
		r = fs->stat(f->node, &stat);
		return r < 0 ? r : (int64_t)stat.size;
	}
	return -EINVAL;
}

int64_t vfs_seek(struct vfs_file file, int64_t offset, enum vfs_whence whence)
{
	const struct fs_ops *fs = NULL;
	struct open_file f = {.flags = 0};
	int64_t to = for_io(file, VFS_READ | VFS_WRITE, &f, &fs);

	if (to == 0)
		to = origin_of(fs, &f, whence);
	if (to < 0)
		return to;
	if (__builtin_add_overflow(to, offset, &to) || to < 0)
		return -EINVAL;
	file_move(file, (uint64_t)to);
	return to;
}
CELL_EXPORT_BLOCKING(vfs_seek);

int vfs_truncate(struct vfs_file file, uint64_t size)
{
	LEDGER_WHOLE();
	const struct fs_ops *fs = NULL;
	struct open_file f = {.flags = 0};
	int r = for_io(file, VFS_WRITE, &f, &fs);

	return r < 0 ? r : fs->truncate(f.node, size);
}
CELL_EXPORT_BLOCKING(vfs_truncate);

/* ---- directories and attributes ---- */

int vfs_readdir(struct vfs_file file, struct fs_entry *ret_entry)
{
	const struct fs_ops *fs = NULL;
	struct fs_entry entry = {0};
	struct open_file f = {.flags = 0};
	int r = file_look(file, &f, &fs);

	if (r < 0)
		return r;
	if (!(f.flags & VFS_DIRECTORY))
		return -ENOTDIR;
	r = fs->readdir(f.node, &f.pos, &entry);
	if (r <= 0)
		return r;
	file_move(file, f.pos);
	*ret_entry = entry;
	return 1;
}
CELL_EXPORT_BLOCKING(vfs_readdir);

int vfs_file_stat(struct vfs_file file, struct fs_stat *ret_stat)
{
	const struct fs_ops *fs = NULL;
	struct fs_stat stat = {0};
	struct open_file f = {.flags = 0};
	int r = file_look(file, &f, &fs);

	if (r == 0)
		r = fs->stat(f.node, &stat);
	if (r == 0)
		*ret_stat = stat;
	return r;
}
CELL_EXPORT_BLOCKING(vfs_file_stat);
