/* SPDX-License-Identifier: MIT */
#include "internal.h"

CELL_INFO(.name = "memfs", .version = "1.0.0", .summary = "files and directories in memory",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY, .restart = CELL_RESTART_ALWAYS);
CELL_STATE(struct memfs_state, memfs);

struct memfs_state *memfs_state(void)
{
	return &memfs;
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
