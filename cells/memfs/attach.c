/* SPDX-License-Identifier: MIT */
/* Attaching: types and root outlive the state, which is found again or made. */
#include "internal.h"

#include <theseus/frames.h>
#include <theseus/ledger.h>

#define RAM_SHARE 4u /* of all RAM, one part may be files */

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
	struct handle root;
};

static int if_root(struct handle h, void *object, struct object_owner owner, void *arg)
{
	struct memfs_state *memfs = memfs_state();
	struct search *search = arg;
	const struct memfs_node *n;
	bool found;

	(void)object; /* it may be on its way out: good only under the lock */
	(void)owner;
	spin_lock_as(&memfs->names, memfs_names);
	n = object_get(search->type, h);
	found = n && n->is_root;
	spin_unlock_as(&memfs->names, memfs_names);
	if (found)
		search->root = h;
	return found;
}

static void make_root(struct handle h, struct memfs_node *n) REQUIRES(memfs_names)
{
	n->kind = FS_DIRECTORY;
	n->linked = true;
	n->parent = h;
	n->is_root = true;
}

/*
 * A node becomes the root in the step that makes memfs ready. So whoever finds no root, and comes
 * second with a node of his own, finds memfs ready. Result: whether @root is the root now.
 */
static bool attach(const struct heap_type types[MEMFS_KINDS], struct handle root, bool found)
{
	struct memfs_state *memfs = memfs_state();
	struct frames_stats frames;
	bool first;

	frames_stats(&frames);
	spin_lock_as(&memfs->names, memfs_names);
	first = !__atomic_load_n(&memfs->ready, __ATOMIC_RELAXED);
	if (first) {
		if (!found)
			make_root(root, object_get(types[MEMFS_NODE], root));
		for (unsigned kind = 0; kind < MEMFS_KINDS; kind++)
			memfs->types[kind] = types[kind];
		memfs->root.h = root;
		memfs->bytes_max = frames.total * PAGE_SIZE / RAM_SHARE;
		__atomic_store_n(&memfs->ready, 1, __ATOMIC_RELEASE);
	}
	spin_unlock_as(&memfs->names, memfs_names);
	return first;
}

static int attach_slowly(void)
{
	LEDGER_WHOLE();
	struct object_owner own = {.cell = CELL_SELF};
	struct heap_type types[MEMFS_KINDS];
	struct search search = {0};
	struct handle h;
	bool found;
	int r = find_types(types);

	if (r < 0)
		return r;
	search.type = types[MEMFS_NODE];
	found = object_for_each(search.type, if_root, &search) == 1;
	h = search.root;
	if (!found)
		r = object_create(search.type, own, &h);
	if (r == 0 && !attach(types, h, found) && !found)
		node_drop(search.type, h);
	return r;
}

int memfs_attach(void)
{
	return __atomic_load_n(&memfs_state()->ready, __ATOMIC_ACQUIRE) ? 0 : attach_slowly();
}
