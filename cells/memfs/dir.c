/* SPDX-License-Identifier: MIT */
/*
 * A directory is a trie over the bits of a name's hash, INDEX_BITS a level, highest first: a
 * slot holds an entry as long as it is alone there, else a deeper index. So an operation costs
 * the logarithm of the directory, to the base of 64, and the order of keys is an order to
 * list it in that entries which come and go do not disturb. Names of equal hash are chained.
 */
#include "internal.h"

#include <string.h>

#define LEVELS (DIR_HASH_BITS / INDEX_BITS)
#define KEY_SUB_BITS 16u
#define KEY_SUB(key) ((key)&0xffffu)
#define KEY_SUB_MAX 0xfffeu /* so that there is a key behind each */

static uint32_t digit(uint64_t hash, uint32_t level)
{
	return (uint32_t)(hash >> (DIR_HASH_BITS - INDEX_BITS * (level + 1))) % INDEX_SLOTS;
}

static struct memfs_entry *entry_get(struct handle h)
{
	return object_get(memfs_state()->types.entry, h);
}

static struct memfs_index *index_get(struct handle h)
{
	return object_get(memfs_state()->types.index, h);
}

/* The way from a directory to the slot where @hash is, or would be. */
struct path {
	uint32_t n; /* indexes on it */
	struct memfs_index *indexes[LEVELS];
	struct handle handles[LEVELS];
	struct handle *slot;
};

static void descend(struct memfs_node *dir, uint64_t hash, struct path *path)
{
	struct memfs_index *index;

	path->n = 0;
	path->slot = &dir->top;
	while (path->n < LEVELS && (index = index_get(*path->slot))) {
		path->indexes[path->n] = index;
		path->handles[path->n] = *path->slot;
		path->slot = &index->slots[digit(hash, path->n)];
		path->n++;
	}
}

static bool is(const struct memfs_entry *e, uint64_t hash, const struct fs_name *name)
{
	return e->key >> KEY_SUB_BITS == hash && e->name.len == name->len &&
	       memcmp(e->name.text, name->text, name->len) == 0;
}

struct memfs_entry *dir_find(const struct memfs_node *dir, const struct fs_name *name)
{
	uint64_t hash = dir_hash(name);
	struct handle h = dir->top;
	struct memfs_index *index;
	struct memfs_entry *e;

	for (uint32_t level = 0; level < LEVELS && (index = index_get(h)); level++)
		h = index->slots[digit(hash, level)];
	for (e = entry_get(h); e && !is(e, hash, name);)
		e = entry_get(e->next);
	return e;
}

/* ---- insert ---- */

static void destroy_chain(struct handle h)
{
	struct memfs_index *index;

	while ((index = index_get(h))) {
		struct handle below = {0};

		for (uint32_t i = 0; i < INDEX_SLOTS; i++) {
			if (index_get(index->slots[i]))
				below = index->slots[i];
		}
		(void)object_destroy(memfs_state()->types.index, h);
		h = below;
	}
}

/*
 * Indexes from @level on that part @old from @new, which share what is above: a chain, with
 * both in the last one. Result: 0 and the first; -ENOMEM, -ENOSPC.
 */
static int split(uint32_t level, struct handle old_h, const struct memfs_entry *old,
		 struct handle new_h, const struct memfs_entry *new, struct handle *ret_first)
{
	uint64_t a = old->key >> KEY_SUB_BITS, b = new->key >> KEY_SUB_BITS;
	struct handle first = {0}, h;
	struct memfs_index *index, *above = NULL;

	for (;; level++) {
		int r = memfs_create(memfs_state()->types.index, &h, &index);

		if (r < 0) {
			destroy_chain(first);
			return r;
		}
		if (above) {
			above->slots[digit(a, level - 1)] = h;
			above->used = 1;
		} else {
			first = h;
		}
		if (digit(a, level) != digit(b, level))
			break;
		above = index;
	}
	index->slots[digit(a, level)] = old_h;
	index->slots[digit(b, level)] = new_h;
	index->used = 2;
	*ret_first = first;
	return 0;
}

/* Puts an entry, which is complete, into its place: one store makes it visible. */
static int link_entry(struct memfs_node *dir, struct handle h, struct memfs_entry *e, uint64_t hash)
{
	const struct memfs_entry *there;
	struct handle first;
	struct path path;
	int r;

	descend(dir, hash, &path);
	there = entry_get(*path.slot);
	e->key = hash << KEY_SUB_BITS;
	if (!there) {
		if (path.n > 0)
			path.indexes[path.n - 1]->used++;
		*path.slot = h;
		return 0;
	}
	if (there->key >> KEY_SUB_BITS == hash) {
		if (KEY_SUB(there->key) == KEY_SUB_MAX)
			return -ENOSPC;
		e->key = there->key + 1;
		e->next = *path.slot;
		*path.slot = h;
		return 0;
	}
	r = split(path.n, *path.slot, there, h, e, &first);
	if (r == 0)
		*path.slot = first;
	return r;
}

int dir_insert(struct memfs_node *dir, const struct fs_name *name, struct handle node,
	       enum fs_kind kind)
{
	struct memfs_entry *e;
	struct handle h;
	int r = memfs_create(memfs_state()->types.entry, &h, &e);

	if (r < 0)
		return r;
	e->node = node;
	e->kind = kind;
	e->name.len = name->len;
	memcpy(e->name.text, name->text, name->len); /* and zero after it */
	r = link_entry(dir, h, e, dir_hash(name));
	if (r < 0)
		(void)object_destroy(memfs_state()->types.entry, h);
	else
		dir->n_entries++;
	return r;
}

/* ---- remove ---- */

/* The last slot of @path was emptied: so is its index, perhaps. */
static void prune(struct memfs_node *dir, struct path *path)
{
	while (path->n > 0 && --path->indexes[path->n - 1]->used == 0) {
		struct handle h = path->handles[--path->n];
		struct handle *slot = &dir->top;

		if (path->n > 0) {
			struct handle *slots = path->indexes[path->n - 1]->slots;

			for (slot = slots; !same_handle(*slot, h);)
				slot++;
		}
		*slot = (struct handle){0};
		(void)object_destroy(memfs_state()->types.index, h);
	}
}

void dir_remove(struct memfs_node *dir, const struct fs_name *name)
{
	uint64_t hash = dir_hash(name);
	struct memfs_entry *e;
	struct handle *at, h;
	struct path path;

	descend(dir, hash, &path);
	for (at = path.slot; (e = entry_get(*at)) && !is(e, hash, name);)
		at = &e->next;
	if (!e)
		return;
	h = *at;
	*at = e->next;
	if (path.slot->type == 0)
		prune(dir, &path);
	(void)object_destroy(memfs_state()->types.entry, h);
	dir->n_entries--;
}

/* ---- list ---- */

/* In a chain, whose keys fall. */
static struct memfs_entry *chain_next(struct memfs_entry *e, uint64_t key)
{
	struct memfs_entry *best = NULL;

	for (; e && e->key >= key; e = entry_get(e->next))
		best = e;
	return best;
}

/*
 * Depth first, from the slot where @key would be; once it is passed, any key is large enough.
 * A loop over @level with a place for each, as recursion would be.
 */
struct memfs_entry *dir_next(const struct memfs_node *dir, uint64_t key)
{
	uint64_t hash = key >> KEY_SUB_BITS;
	struct memfs_index *indexes[LEVELS];
	uint32_t at[LEVELS], level = 0;
	struct handle h = dir->top;
	struct memfs_entry *e;

	for (;;) {
		struct memfs_index *index = level < LEVELS ? index_get(h) : NULL;

		if (index) {
			indexes[level] = index;
			at[level] = digit(hash, level);
			h = index->slots[at[level]];
			level++;
			continue;
		}
		e = chain_next(entry_get(h), key);
		if (e)
			return e;
		while (level > 0 && at[level - 1] + 1 == INDEX_SLOTS)
			level--;
		if (level == 0)
			return NULL;
		key = 0;
		hash = 0;
		h = indexes[level - 1]->slots[++at[level - 1]];
	}
}
