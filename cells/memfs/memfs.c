/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <theseus/frames.h>

CELL_INFO(.name = "memfs", .version = "1.0.0", .summary = "files and directories in memory",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY, .restart = CELL_RESTART_ALWAYS);
CELL_STATE(struct memfs_state, memfs);

#define RAM_SHARE 4u /* of all RAM, one part may be files */

struct memfs_state *memfs_state(void)
{
	return &memfs;
}

/* ---- attaching: types and root outlive the state ---- */

static int find_type(const char *name, size_t bytes, struct heap_type *ret_type)
{
	int r = heap_type_find(CELL_SELF, name, ret_type);

	if (r == -ENOENT)
		r = heap_type_create(CELL_SELF, name, bytes, OBJECT_NO_OPS, ret_type);
	/* another task may have been quicker */
	return r == -EEXIST ? heap_type_find(CELL_SELF, name, ret_type) : r;
}

static int find_types(struct heap_type ret_types[MEMFS_KINDS])
{
	int r = find_type("node", sizeof(struct memfs_node), &ret_types[MEMFS_NODE]);

	if (r == 0)
		r = find_type("entry", sizeof(struct memfs_entry), &ret_types[MEMFS_ENTRY]);
	if (r == 0)
		r = find_type("index", sizeof(struct memfs_index), &ret_types[MEMFS_INDEX]);
	if (r == 0)
		r = find_type("block", BLOCK_BYTES, &ret_types[MEMFS_BLOCK]);
	return r;
}

struct search {
	struct heap_type type;
	struct fs_node root;
};

static int if_root(struct handle h, void *object, struct object_owner owner, void *arg)
{
	struct search *search = arg;
	const struct memfs_node *n;
	bool found;

	(void)object; /* it may be on its way out: good only under the lock */
	(void)owner;
	spin_lock_as(&memfs.names, memfs_names);
	n = object_get(search->type, h);
	found = n && n->is_root;
	spin_unlock_as(&memfs.names, memfs_names);
	if (found)
		search->root.h = h;
	return found;
}

static int find_root(struct heap_type type, struct fs_node *ret_root)
{
	struct search search = {.type = type};
	struct memfs_node *n;
	int r;

	if (object_for_each(type, if_root, &search) == 1) {
		*ret_root = search.root;
		return 0;
	}
	r = object_create(type, (struct object_owner){.cell = CELL_SELF}, &ret_root->h);
	if (r < 0)
		return r;
	spin_lock_as(&memfs.names, memfs_names);
	n = object_get(type, ret_root->h);
	n->kind = FS_DIRECTORY;
	n->linked = true;
	n->parent = ret_root->h;
	n->is_root = true;
	spin_unlock_as(&memfs.names, memfs_names);
	return 0;
}

int memfs_attach(void)
{
	struct heap_type types[MEMFS_KINDS];
	struct frames_stats frames;
	struct fs_node root = {{0}};
	int r;

	if (__atomic_load_n(&memfs.ready, __ATOMIC_ACQUIRE))
		return 0;
	r = find_types(types);
	if (r == 0)
		r = find_root(types[MEMFS_NODE], &root);
	if (r < 0)
		return r;
	frames_stats(&frames);
	spin_lock_as(&memfs.names, memfs_names);
	for (unsigned kind = 0; kind < MEMFS_KINDS; kind++)
		memfs.types[kind] = types[kind];
	memfs.root = root;
	memfs.bytes_max = frames.total * PAGE_SIZE / RAM_SHARE;
	__atomic_store_n(&memfs.ready, 1, __ATOMIC_RELEASE);
	spin_unlock_as(&memfs.names, memfs_names);
	return 0;
}

/* Nobody names it, and whoever was about to free it is gone. */
static int reap_orphan(struct handle h, void *object, struct object_owner owner, void *arg)
{
	const struct memfs_node *n;
	bool orphan;

	(void)object;
	(void)owner;
	(void)arg;
	spin_lock_as(&memfs.names, memfs_names);
	n = node_get(h);
	orphan = n && n->dead;
	spin_unlock_as(&memfs.names, memfs_names);
	if (orphan)
		memfs_reap(h);
	return 0;
}

static int init(const struct cell_boot *boot)
{
	int r = memfs_attach();

	(void)boot;
	if (r == 0)
		(void)object_for_each(memfs_type(MEMFS_NODE), reap_orphan, NULL);
	return r;
}
CELL_PROVIDE(cell_ops, memfs) = {.init = init};

CELL_PROVIDE(fs_ops, memfs) = {
	.root = memfs_root,
	.lookup = memfs_lookup,
	.create = memfs_create_node,
	.remove = memfs_remove,
	.rename = memfs_rename,
	.open = memfs_open,
	.close = memfs_close,
	.read = memfs_read,
	.write = memfs_write,
	.truncate = memfs_truncate,
	.readdir = memfs_readdir,
	.stat = memfs_stat,
};
