/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

static bool is_dotdot(const struct fs_name *name)
{
	return name->len == 2 && name->text[0] == '.' && name->text[1] == '.';
}

/* The directory behind @h; names is held. Result: 0, -ENOENT (it left), -ENOTDIR. */
static int dir_get(struct handle h, struct memfs_node **ret_dir) REQUIRES(memfs_names)
{
	struct memfs_node *n = node_get(h);

	if (!n || !n->linked)
		return -ENOENT;
	if (n->kind != FS_DIRECTORY)
		return -ENOTDIR;
	*ret_dir = n;
	return 0;
}

int memfs_root(struct fs_node *ret_node)
{
	int r = memfs_attach();

	if (r == 0)
		*ret_node = memfs_state()->root;
	return r;
}

static int lookup(struct handle dir_h, const struct fs_name *name, struct handle *ret_node)
	REQUIRES(memfs_names)
{
	const struct memfs_entry *e;
	struct memfs_node *dir;
	int r = dir_get(dir_h, &dir);

	if (r < 0)
		return r;
	if (is_dotdot(name)) {
		*ret_node = dir->parent;
		return 0;
	}
	e = dir_find(dir, name);
	if (!e)
		return -ENOENT;
	*ret_node = e->node;
	return 0;
}

int memfs_lookup(struct fs_node dir, const struct fs_name *name, struct fs_node *ret_node)
{
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = lookup(dir.h, name, &ret_node->h);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

/* ---- create ---- */

static int create_entry(struct handle dir_h, const struct fs_name *name, enum fs_kind kind,
			struct handle *ret_node) REQUIRES(memfs_names)
{
	struct memfs_node *dir, *n;
	struct handle h;
	int r = dir_get(dir_h, &dir);

	if (r < 0)
		return r;
	if (is_dotdot(name) || dir_find(dir, name))
		return -EEXIST;
	r = memfs_create(memfs_state()->types.node, &h, &n);
	if (r < 0)
		return r;
	n->kind = kind;
	n->linked = true;
	if (kind == FS_DIRECTORY)
		n->parent = dir_h;
	r = dir_insert(dir, name, h, kind);
	if (r < 0)
		(void)object_destroy(memfs_state()->types.node, h);
	else
		*ret_node = h;
	return r;
}

int memfs_create_node(struct fs_node dir, const struct fs_name *name, enum fs_kind kind,
		      struct fs_node *ret_node)
{
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = create_entry(dir.h, name, kind, &ret_node->h);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

/* ---- remove ---- */

/* Marks a node that nobody can reach any more. Result: true: the caller reaps it, unlocked. */
static bool bury(struct handle h, struct memfs_node *n) REQUIRES(memfs_names)
{
	struct spinlock *lock = memfs_data_lock(h);

	if (n->linked || n->opens > 0)
		return false;
	spin_lock_as(lock, memfs_data);
	n->dead = true;
	spin_unlock_as(lock, memfs_data);
	return true;
}

static int check_remove(const struct memfs_node *n, enum fs_kind kind) REQUIRES(memfs_names)
{
	if (kind == FS_FILE && n->kind == FS_DIRECTORY)
		return -EISDIR;
	if (kind == FS_DIRECTORY && n->kind != FS_DIRECTORY)
		return -ENOTDIR;
	return n->n_entries > 0 ? -ENOTEMPTY : 0;
}

/* Result: 0, or 1: *@ret_gone is to be reaped. */
static int remove_entry(struct handle dir_h, const struct fs_name *name, enum fs_kind kind,
			struct handle *ret_gone) REQUIRES(memfs_names)
{
	const struct memfs_entry *e;
	struct memfs_node *dir, *n;
	int r = dir_get(dir_h, &dir);

	if (r < 0)
		return r;
	e = dir_find(dir, name);
	n = e ? node_get(e->node) : NULL;
	if (!n)
		return -ENOENT;
	r = check_remove(n, kind);
	if (r < 0)
		return r;
	*ret_gone = e->node;
	dir_remove(dir, name);
	n->linked = false;
	return bury(*ret_gone, n);
}

int memfs_remove(struct fs_node dir, const struct fs_name *name, enum fs_kind kind)
{
	struct handle gone;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = remove_entry(dir.h, name, kind, &gone);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	if (r > 0)
		memfs_reap((struct fs_node){gone});
	return r < 0 ? r : 0;
}

/* ---- rename ---- */

/* Is @dir the directory @h or somewhere below it? As deep as the tree. */
static bool is_below(struct handle dir, struct handle h) REQUIRES(memfs_names)
{
	const struct memfs_node *n;

	while ((n = node_get(dir)) && !same_handle(dir, h) && !n->is_root)
		dir = n->parent;
	return same_handle(dir, h);
}

static int check_replace(const struct memfs_node *n, const struct memfs_node *gone)
	REQUIRES(memfs_names)
{
	if (n->kind == FS_DIRECTORY && gone->kind != FS_DIRECTORY)
		return -ENOTDIR;
	if (n->kind != FS_DIRECTORY && gone->kind == FS_DIRECTORY)
		return -EISDIR;
	return gone->n_entries > 0 ? -ENOTEMPTY : 0;
}

/* Nothing can fail once the new name stands. Result: 0, or 1: *@ret_gone is to be reaped. */
static int rename_entry(struct handle from_h, const struct fs_name *from, struct handle to_h,
			const struct fs_name *to, struct handle *ret_gone) REQUIRES(memfs_names)
{
	struct memfs_node *from_dir, *to_dir = NULL, *n, *gone = NULL;
	const struct memfs_entry *old;
	struct memfs_entry *there;
	struct handle h;
	int r = dir_get(from_h, &from_dir);

	if (r == 0)
		r = dir_get(to_h, &to_dir);
	if (r < 0)
		return r;
	old = dir_find(from_dir, from);
	n = old ? node_get(old->node) : NULL;
	if (!n)
		return -ENOENT;
	h = old->node;
	if (n->kind == FS_DIRECTORY && is_below(to_h, h))
		return -EINVAL;
	there = dir_find(to_dir, to);
	if (there && same_handle(there->node, h))
		return 0;
	if (there) {
		*ret_gone = there->node;
		gone = node_get(there->node);
		r = check_replace(n, gone);
		if (r == 0)
			there->node = h;
	} else {
		r = dir_insert(to_dir, to, h, n->kind);
	}
	if (r < 0)
		return r;
	dir_remove(from_dir, from);
	if (n->kind == FS_DIRECTORY)
		n->parent = to_h;
	if (!gone)
		return 0;
	gone->linked = false;
	return bury(*ret_gone, gone);
}

int memfs_rename(struct fs_node from_dir, const struct fs_name *from, struct fs_node to_dir,
		 const struct fs_name *to)
{
	struct handle gone;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = rename_entry(from_dir.h, from, to_dir.h, to, &gone);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	if (r > 0)
		memfs_reap((struct fs_node){gone});
	return r < 0 ? r : 0;
}

/* ---- open, list, look ---- */

int memfs_open(struct fs_node node)
{
	struct memfs_node *n;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(node.h);
	if (n && n->linked)
		n->opens++;
	else
		r = -ENOENT;
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

int memfs_close(struct fs_node node)
{
	struct memfs_node *n;
	bool gone = false;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(node.h);
	if (n && n->opens > 0) {
		n->opens--;
		gone = bury(node.h, n);
	}
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return gone;
}

int memfs_readdir(struct fs_node dir, uint64_t *cookie, struct fs_entry *ret_entry)
{
	const struct memfs_entry *e;
	struct memfs_node *n;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(dir.h);
	e = n && n->kind == FS_DIRECTORY ? dir_next(n, *cookie) : NULL;
	if (e) {
		*ret_entry = (struct fs_entry){.kind = e->kind, .name = e->name};
		*cookie = e->key + 1;
	}
	r = e ? 1 : n && n->kind != FS_DIRECTORY ? -ENOTDIR : 0;
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

static void fill_stat(struct handle h, const struct memfs_node *n, struct fs_stat *ret_stat)
	REQUIRES(memfs_names)
{
	struct spinlock *lock = memfs_data_lock(h);

	spin_lock_as(lock, memfs_data);
	*ret_stat = (struct fs_stat){
		.kind = n->kind,
		.size = n->kind == FS_FILE ? n->size : n->n_entries,
		.blocks = (uint64_t)n->n_blocks * BLOCK_BYTES,
		.node = h.slot,
		.opens = n->opens,
	};
	spin_unlock_as(lock, memfs_data);
}

int memfs_stat(struct fs_node node, struct fs_stat *ret_stat)
{
	const struct memfs_node *n;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(node.h);
	if (n)
		fill_stat(node.h, n, ret_stat);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return n ? 0 : -ESTALE;
}
