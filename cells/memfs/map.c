/* SPDX-License-Identifier: MIT */
/*
 * The block map: a radix tree that is as high as the last block needs. What a block needs is
 * made aside, lowest first, and hung in with one store, so no memory means no change.
 */
#include "internal.h"

static struct memfs_index *index_get(struct handle h)
{
	return object_get(memfs_state()->types.index, h);
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
	return object_get(memfs_state()->types.block, h);
}

/* Frees @levels indexes with one thing in each; what is below them stays. */
static void chain_destroy(struct handle h, uint32_t levels)
{
	while (levels-- > 0) {
		const struct memfs_index *index = index_get(h);
		struct handle gone = h;

		for (uint32_t i = 0; i < INDEX_SLOTS; i++) {
			if (index->slots[i].type)
				h = index->slots[i];
		}
		(void)object_destroy(memfs_state()->types.index, gone);
	}
}

/*
 * Puts @levels - @from indexes above *@h, each with what is below it where block @n belongs.
 * Result: 0 with *@h the highest; -errno, and they are gone again.
 */
static int chain_raise(struct handle *h, uint64_t n, uint32_t from, uint32_t levels)
{
	struct handle top = *h, above;
	struct memfs_index *index;

	for (uint32_t below = from; below < levels; below++) {
		int r = memfs_create(memfs_state()->types.index, &above, &index);

		if (r < 0) {
			chain_destroy(top, below - from);
			return r;
		}
		index->slots[slot_of(n, below)] = top;
		index->used = 1;
		top = above;
	}
	*h = top;
	return 0;
}

/* A new block @n with @levels indexes above it. */
static int chain_make(uint64_t n, uint32_t levels, struct handle *ret_top, uint8_t **ret_block)
{
	struct handle h;
	int r = memfs_create(memfs_state()->types.block, &h, ret_block);

	if (r < 0)
		return r;
	*ret_top = h;
	r = chain_raise(ret_top, n, 0, levels);
	if (r < 0)
		(void)object_destroy(memfs_state()->types.block, h);
	return r;
}

/* The map is not empty and too low for block @n. */
static int map_grow(struct memfs_node *file, uint64_t n, uint8_t **ret_block)
{
	uint32_t levels = levels_for(n);
	struct handle top = file->top, chain;
	struct memfs_index *index;
	int r = chain_raise(&top, 0, file->levels, levels);

	if (r < 0)
		return r;
	r = chain_make(n, levels - 1, &chain, ret_block);
	if (r < 0) {
		chain_destroy(top, levels - file->levels);
		return r;
	}
	index = index_get(top);
	index->slots[slot_of(n, levels - 1)] = chain;
	index->used = 2;
	file->top = top;
	file->levels = levels;
	return 0;
}

/* Hangs block @n into a map that is high enough. */
static int map_fill(struct memfs_node *file, uint64_t n, uint8_t **ret_block)
{
	uint32_t below = file->levels;
	struct handle *slot = &file->top;
	struct memfs_index *index = NULL;
	struct handle chain;
	int r;

	while (below > 0 && slot->type) {
		index = index_get(*slot);
		slot = &index->slots[slot_of(n, --below)];
	}
	r = chain_make(n, below, &chain, ret_block);
	if (r < 0)
		return r;
	if (index)
		index->used++;
	*slot = chain;
	return 0;
}

int map_make(struct memfs_node *file, uint64_t n, uint8_t **ret_block)
{
	uint8_t *there = map_find(file, n);
	int r;

	if (there) {
		*ret_block = there;
		return 0;
	}
	if (file->top.type == 0)
		file->levels = levels_for(n);
	if (levels_for(n) > file->levels)
		r = map_grow(file, n, ret_block);
	else
		r = map_fill(file, n, ret_block);
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

uint64_t map_trim(struct memfs_node *file, uint64_t keep)
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
	(void)object_destroy(memfs_state()->types.block, *slots[depth]);
	*slots[depth] = (struct handle){0};
	while (depth > 0 && --index_get(handles[depth - 1])->used == 0) {
		(void)object_destroy(memfs_state()->types.index, handles[--depth]);
		*slots[depth] = (struct handle){0};
	}
	file->n_blocks--;
	return n + 1;
}
