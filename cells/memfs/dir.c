/* SPDX-License-Identifier: MIT */
/*
 * A directory is a trie over the bits of a name's hash, INDEX_BITS a level, highest first: a
 * slot holds an entry as long as it is alone there, else a deeper index. So an operation costs
 * the logarithm of the directory, to the base of 64, and the order of keys is an order to
 * list it in that entries which come and go do not disturb. Names of equal hash are chained.
 */
#include "internal.h"

#include <string.h>

#define LEVELS DIR_LEVELS
#define KEY_SUB_BITS 16u
#define KEY_SUB(key) ((key)&0xffffu)
#define KEY_SUB_MAX 0xfffeu /* so that there is a key behind each */

static uint32_t digit(uint64_t hash, uint32_t level)
{
	return (uint32_t)(hash >> (DIR_HASH_BITS - INDEX_BITS * (level + 1))) % INDEX_SLOTS;
}

static struct memfs_entry *entry_get(struct handle h)
{
	return object_get(memfs_type(MEMFS_ENTRY), h);
}

static struct memfs_index *index_get(struct handle h)
{
	return object_get(memfs_type(MEMFS_INDEX), h);
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

static bool is(const struct memfs_entry *e, struct dir_name name)
{
	return e->key >> KEY_SUB_BITS == name.hash && e->name.len == name.name->len &&
	       memcmp(e->name.text, name.name->text, name.name->len) == 0;
}

struct memfs_entry *dir_find(const struct memfs_node *dir, struct dir_name name)
{
	struct handle h = dir->top;
	struct memfs_index *index;
	struct memfs_entry *e;

	for (uint32_t level = 0; level < LEVELS && (index = index_get(h)); level++)
		h = index->slots[digit(name.hash, level)];
	for (e = entry_get(h); e && !is(e, name);)
		e = entry_get(e->next);
	return e;
}

/* ---- insert ---- */

/* The highest level, from @level on, in which two hashes differ. */
static uint32_t fork_of(uint64_t a, uint64_t b, uint32_t level)
{
	while (digit(a, level) == digit(b, level))
		level++;
	return level;
}

/*
 * Indexes of the levels @from to @to that part one entry from another, which share what is above:
 * a chain, with both in the last one. Result: the first.
 */
static struct handle split(uint32_t from, uint32_t to, struct handle a_h, uint64_t a,
			   struct handle b_h, uint64_t b, struct memfs_supply *supply)
{
	struct memfs_index *index;
	struct handle first;

	index = supply_take(supply, MEMFS_INDEX, &first);
	index->slots[digit(a, to)] = a_h;
	index->slots[digit(b, to)] = b_h;
	index->used = 2;
	while (to-- > from) {
		struct handle below = first;

		index = supply_take(supply, MEMFS_INDEX, &first);
		index->slots[digit(a, to)] = below;
		index->used = 1;
	}
	return first;
}

static struct memfs_entry *make_entry(struct dir_name name, struct handle node, enum fs_kind kind,
				      struct memfs_supply *supply, struct handle *ret_handle)
{
	struct memfs_entry *e = supply_take(supply, MEMFS_ENTRY, ret_handle);

	e->node = node;
	e->kind = kind;
	e->name.len = name.name->len;
	memcpy(e->name.text, name.name->text, name.name->len); /* and zero after it */
	return e;
}

/*
 * Where in a chain, which is not empty, a new entry goes: before all others as long as numbers go
 * on, then under one that left. Result: NULL when all numbers are in use.
 */
static struct handle *chain_place(struct handle *slot, uint64_t *ret_key)
{
	struct memfs_entry *e = entry_get(*slot), *next;

	if (KEY_SUB(e->key) < KEY_SUB_MAX) {
		*ret_key = e->key + 1;
		return slot;
	}
	while ((next = entry_get(e->next)) && next->key + 1 == e->key)
		e = next;
	*ret_key = e->key - 1;
	return KEY_SUB(e->key) > 0 ? &e->next : NULL;
}

int dir_insert(struct memfs_node *dir, struct dir_name name, struct handle node, enum fs_kind kind,
	       struct memfs_supply *supply)
{
	const struct memfs_entry *there;
	struct memfs_entry *e;
	struct handle *slot, h;
	uint64_t key = name.hash << KEY_SUB_BITS, hash = 0;
	uint32_t fork = 0;
	struct path path;
	bool enough;

	descend(dir, name.hash, &path);
	slot = path.slot;
	there = entry_get(*slot);
	if (there)
		hash = there->key >> KEY_SUB_BITS;
	if (there && hash == name.hash)
		slot = chain_place(slot, &key);
	if (!slot)
		return -ENOSPC;
	enough = supply_has(supply, MEMFS_ENTRY, 1);
	if (there && hash != name.hash) {
		fork = fork_of(hash, name.hash, path.n);
		enough &= supply_has(supply, MEMFS_INDEX, fork + 1 - path.n);
	}
	if (!enough)
		return -EAGAIN;
	e = make_entry(name, node, kind, supply, &h);
	e->key = key;
	if (there && hash != name.hash) {
		h = split(path.n, fork, *slot, hash, h, name.hash, supply);
	} else {
		e->next = *slot;
		if (!there && path.n > 0)
			path.indexes[path.n - 1]->used++;
	}
	*slot = h;
	dir->n_entries++;
	return 0;
}

/* ---- remove ---- */

/* The last slot of @path was emptied: so is its index, perhaps. */
static void prune(struct memfs_node *dir, struct path *path, struct memfs_objects *gone)
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
		objects_add(gone, h);
	}
}

void dir_remove(struct memfs_node *dir, struct dir_name name, struct memfs_objects *gone)
{
	struct memfs_entry *e;
	struct handle *at, h;
	struct path path;

	descend(dir, name.hash, &path);
	for (at = path.slot; (e = entry_get(*at)) && !is(e, name);)
		at = &e->next;
	if (!e)
		return;
	h = *at;
	*at = e->next;
	objects_add(gone, h);
	if (path.slot->type == 0)
		prune(dir, &path, gone);
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
