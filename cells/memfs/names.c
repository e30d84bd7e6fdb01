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

static int lookup(struct handle dir_h, struct dir_name name, struct handle *ret_node)
	REQUIRES(memfs_names)
{
	const struct memfs_entry *e;
	struct memfs_node *dir;
	int r = dir_get(dir_h, &dir);

	if (r < 0)
		return r;
	if (is_dotdot(name.name)) {
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
	const struct dir_name hashed = dir_name(name);
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = lookup(dir.h, hashed, &ret_node->h);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

/* ---- create ---- */

static int create_entry(struct handle dir_h, struct dir_name name, enum fs_kind kind,
			struct memfs_supply *supply, struct handle *ret_node) REQUIRES(memfs_names)
{
	struct memfs_node *dir, *n;
	struct handle h;
	int r = dir_get(dir_h, &dir);

	if (r < 0)
		return r;
	if (is_dotdot(name.name) || dir_find(dir, name))
		return -EEXIST;
	if (!supply_has(supply, MEMFS_NODE, 1))
		return -EAGAIN;
	n = supply_take(supply, MEMFS_NODE, &h);
	r = dir_insert(dir, name, h, kind, supply);
	if (r < 0) {
		objects_add(&supply->have, h); /* as it was */
		return r;
	}
	n->kind = kind;
	n->linked = true;
	if (kind == FS_DIRECTORY)
		n->parent = dir_h;
	*ret_node = h;
	return 0;
}

/* If there is no memory for what is always taken, the name may be there all the same. */
int memfs_create_node(struct fs_node dir, const struct fs_name *name, enum fs_kind kind,
		      struct fs_node *ret_node)
{
	struct handle room[MEMFS_OBJECTS_MAX];
	OWNED(supply_drop) struct memfs_supply supply = {
		.lacks = true,
		.wanted = {[MEMFS_NODE] = 1, [MEMFS_ENTRY] = 1},
		.have = {.handles = room},
	};
	const struct dir_name hashed = dir_name(name);
	int filled, r = memfs_attach();

	if (r < 0)
		return r;
	do {
		filled = supply_fill(&supply);
		spin_lock_as(&memfs_state()->names, memfs_names);
		r = create_entry(dir.h, hashed, kind, &supply, &ret_node->h);
		spin_unlock_as(&memfs_state()->names, memfs_names);
	} while (r == -EAGAIN && filled == 0);
	return r == -EAGAIN ? filled : r;
}

/* ---- remove ---- */

/* What left the tree under the locks, to be freed when they are released. */
struct leaving {
	struct memfs_objects objects;
	void *retired;      /* a node; NULL: none */
	struct handle node; /* one that has blocks yet; {0}: none */
};

static void leaving_drop(struct leaving *l)
{
	objects_drop(&l->objects);
	object_release(l->retired);
	if (l->node.type)
		memfs_reap(l->node);
}

/* Ends a node that nobody can reach any more. */
static void bury(struct handle h, struct memfs_node *n, struct leaving *leaving)
	REQUIRES(memfs_names)
{
	struct spinlock *lock = memfs_data_lock(h);

	if (n->linked || n->opens > 0)
		return;
	spin_lock_as(lock, memfs_data);
	n->dead = true;
	if (n->top.type)
		leaving->node = h;
	else
		(void)!object_retire(memfs_type(MEMFS_NODE), h, &leaving->retired);
	spin_unlock_as(lock, memfs_data);
}

static int check_remove(const struct memfs_node *n, enum fs_kind kind) REQUIRES(memfs_names)
{
	if (kind == FS_FILE && n->kind == FS_DIRECTORY)
		return -EISDIR;
	if (kind == FS_DIRECTORY && n->kind != FS_DIRECTORY)
		return -ENOTDIR;
	return n->n_entries > 0 ? -ENOTEMPTY : 0;
}

static int remove_entry(struct handle dir_h, struct dir_name name, enum fs_kind kind,
			struct leaving *leaving) REQUIRES(memfs_names)
{
	const struct memfs_entry *e;
	struct memfs_node *dir, *n;
	struct handle h;
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
	h = e->node;
	dir_remove(dir, name, &leaving->objects);
	n->linked = false;
	bury(h, n, leaving);
	return 0;
}

int memfs_remove(struct fs_node dir, const struct fs_name *name, enum fs_kind kind)
{
	struct handle room[MEMFS_OBJECTS_MAX];
	OWNED(leaving_drop) struct leaving leaving = {.objects = {.handles = room}};
	const struct dir_name hashed = dir_name(name);
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	r = remove_entry(dir.h, hashed, kind, &leaving);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
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

/* An entry that is renamed, and to where. */
struct move {
	struct handle from_h, to_h; /* directories */
	struct dir_name from, to;
};

/* Nothing can fail once the new name stands. */
static int rename_entry(const struct move *move, struct memfs_supply *supply,
			struct leaving *leaving) REQUIRES(memfs_names)
{
	struct memfs_node *from_dir, *to_dir = NULL, *n, *replaced = NULL;
	const struct memfs_entry *old;
	struct memfs_entry *there;
	struct handle h, replaced_h = {0};
	int r = dir_get(move->from_h, &from_dir);

	if (r == 0)
		r = dir_get(move->to_h, &to_dir);
	if (r < 0)
		return r;
	old = dir_find(from_dir, move->from);
	n = old ? node_get(old->node) : NULL;
	if (!n)
		return -ENOENT;
	h = old->node;
	if (n->kind == FS_DIRECTORY && is_below(move->to_h, h))
		return -EINVAL;
	there = dir_find(to_dir, move->to);
	if (there && same_handle(there->node, h))
		return 0;
	if (there) {
		replaced_h = there->node;
		replaced = node_get(replaced_h);
		r = check_replace(n, replaced);
		if (r == 0)
			there->node = h;
	} else {
		r = dir_insert(to_dir, move->to, h, n->kind, supply);
	}
	if (r < 0)
		return r;
	dir_remove(from_dir, move->from, &leaving->objects);
	if (n->kind == FS_DIRECTORY)
		n->parent = move->to_h;
	if (replaced) {
		replaced->linked = false;
		bury(replaced_h, replaced, leaving);
	}
	return 0;
}

int memfs_rename(struct fs_node from_dir, const struct fs_name *from, struct fs_node to_dir,
		 const struct fs_name *to)
{
	const struct move move = {from_dir.h, to_dir.h, dir_name(from), dir_name(to)};
	struct handle new[MEMFS_OBJECTS_MAX], old[MEMFS_OBJECTS_MAX];
	OWNED(supply_drop) struct memfs_supply supply = {.have = {.handles = new}};
	OWNED(leaving_drop) struct leaving leaving = {.objects = {.handles = old}};
	int filled, r = memfs_attach();

	if (r < 0)
		return r;
	do {
		filled = supply_fill(&supply);
		spin_lock_as(&memfs_state()->names, memfs_names);
		r = rename_entry(&move, &supply, &leaving);
		spin_unlock_as(&memfs_state()->names, memfs_names);
	} while (r == -EAGAIN && filled == 0);
	return r == -EAGAIN ? filled : r;
}

/* ---- open, list, look ---- */

int memfs_open(struct fs_node node, enum fs_kind kind)
{
	struct memfs_node *n;
	int r = memfs_attach();

	if (r < 0)
		return r;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(node.h);
	if (!n || !n->linked)
		r = -ENOENT;
	else if (n->kind != kind)
		r = kind == FS_DIRECTORY ? -ENOTDIR : -EISDIR;
	else
		n->opens++;
	spin_unlock_as(&memfs_state()->names, memfs_names);
	return r;
}

/* Attaching finds what there is, as there is a node: it does not fail. */
void memfs_close(struct fs_node node)
{
	OWNED(leaving_drop) struct leaving leaving = {.retired = NULL};
	struct memfs_node *n;

	if (memfs_attach() < 0)
		return;
	spin_lock_as(&memfs_state()->names, memfs_names);
	n = node_get(node.h);
	if (n && n->opens > 0) {
		n->opens--;
		bury(node.h, n, &leaving);
	}
	spin_unlock_as(&memfs_state()->names, memfs_names);
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
