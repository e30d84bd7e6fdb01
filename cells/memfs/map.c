/* SPDX-License-Identifier: MIT */
/*
 * The block map: a radix tree that is as high as the last block needs. What a block needs is
 * all there before anything changes.
 */
#include "internal.h"

static struct memfs_index *index_get(struct handle h)
{
	return object_get(memfs_type(MEMFS_INDEX), h);
}

/* Slot of block @n in an index with @below levels of indexes under it. */
static uint32_t slot_of(uint64_t n, uint32_t below)
{
	return (uint32_t)(n >> (INDEX_BITS * below)) % INDEX_SLOTS;
}

static uint32_t levels_for(uint64_t n)
{
	uint32_t levels = 0;

	while (n >> (INDEX_BITS * levels))
		levels++;
	return levels;
}

uint8_t *map_find(const struct memfs_node *file, uint64_t n)
{
	struct handle h = file->top;

	if (levels_for(n) > file->levels)
		return NULL;
	for (uint32_t below = file->levels; below-- > 0;) {
		const struct memfs_index *index = index_get(h);

		if (!index)
			return NULL;
		h = index->slots[slot_of(n, below)];
	}
	return object_get(memfs_type(MEMFS_BLOCK), h);
}

/*
 * Puts @levels - @from indexes above @h, each with what is below it where block @n belongs.
 * Result: the highest.
 */
static struct handle chain_raise(struct handle h, uint64_t n, uint32_t from, uint32_t levels,
				 struct memfs_supply *supply)
{
	for (uint32_t below = from; below < levels; below++) {
		struct handle above;
		struct memfs_index *index = supply_take(supply, MEMFS_INDEX, &above);

		index->slots[slot_of(n, below)] = h;
		index->used = 1;
		h = above;
	}
	return h;
}

/* A new block @n with @levels indexes above it. */
static struct handle chain_make(uint64_t n, uint32_t levels, struct memfs_supply *supply,
				uint8_t **ret_block)
{
	struct handle h;

	*ret_block = supply_take(supply, MEMFS_BLOCK, &h);
	return chain_raise(h, n, 0, levels, supply);
}

static bool has_chain(struct memfs_supply *supply, uint32_t indexes)
{
	bool block = supply_has(supply, MEMFS_BLOCK, 1);

	return supply_has(supply, MEMFS_INDEX, indexes) && block;
}

/* The map is not empty and too low for block @n. */
static int map_grow(struct memfs_node *file, uint64_t n, struct memfs_supply *supply,
		    uint8_t **ret_block)
{
	uint32_t levels = levels_for(n);
	struct memfs_index *index;

	if (!has_chain(supply, levels - file->levels + levels - 1))
		return -EAGAIN;
	file->top = chain_raise(file->top, 0, file->levels, levels, supply);
	file->levels = levels;
	index = index_get(file->top);
	index->slots[slot_of(n, levels - 1)] = chain_make(n, levels - 1, supply, ret_block);
	index->used = 2;
	return 0;
}

/* Hangs block @n into a map that is empty or high enough. */
static int map_fill(struct memfs_node *file, uint64_t n, struct memfs_supply *supply,
		    uint8_t **ret_block)
{
	uint32_t levels = file->top.type ? file->levels : levels_for(n), below = levels;
	struct handle *slot = &file->top;
	struct memfs_index *index = NULL;

	while (below > 0 && slot->type) {
		index = index_get(*slot);
		slot = &index->slots[slot_of(n, --below)];
	}
	if (!has_chain(supply, below))
		return -EAGAIN;
	if (index)
		index->used++;
	*slot = chain_make(n, below, supply, ret_block);
	file->levels = levels;
	return 0;
}

int map_make(struct memfs_node *file, uint64_t n, struct memfs_supply *supply, uint8_t **ret_block)
{
	uint8_t *there = map_find(file, n);
	int r;

	if (there) {
		*ret_block = there;
		return 0;
	}
	if (file->top.type && levels_for(n) > file->levels)
		r = map_grow(file, n, supply, ret_block);
	else
		r = map_fill(file, n, supply, ret_block);
	if (r == 0)
		file->n_blocks++;
	return r;
}

static uint32_t last_slot(const struct memfs_index *index)
{
	uint32_t i = INDEX_SLOTS - 1;

	while (i > 0 && index->slots[i].type == 0)
		i--;
	return i;
}

uint64_t map_trim(struct memfs_node *file, uint64_t keep, struct memfs_objects *gone)
{
	struct handle handles[MAP_LEVELS_MAX + 1];
	struct handle *slots[MAP_LEVELS_MAX + 1] = {&file->top};
	struct memfs_index *index;
	uint32_t depth = 0;
	uint64_t n = 0;

	if (file->top.type == 0)
		return 0;
	while ((index = index_get(*slots[depth]))) {
		uint32_t slot = last_slot(index);

		handles[depth] = *slots[depth];
		n = n << INDEX_BITS | slot;
		slots[++depth] = &index->slots[slot];
	}
	if (n < keep)
		return 0;
	objects_add(gone, *slots[depth]);
	*slots[depth] = (struct handle){0};
	while (depth > 0 && --index_get(handles[depth - 1])->used == 0) {
		objects_add(gone, handles[--depth]);
		*slots[depth] = (struct handle){0};
	}
	file->n_blocks--;
	return n + 1;
}
