/* SPDX-License-Identifier: MIT */
#include "cache.h"
#include "object.h"

#include <theseus/frames.h>
#include <theseus/handoff.h>

struct heap_state {
	struct blocks blocks;
	struct types types;
	struct owners owners;
};

CELL_INFO(.name = "heap", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "makes blocks out of pages, and finds what a block belongs to by its address",
	  .summary = "plain and typed slabs, accounted to cells");
CELL_STATE(struct heap_state, heap);

struct blocks *heap_blocks(void)
{
	return &heap.blocks;
}

struct types *heap_types(void)
{
	return &heap.types;
}

struct owners *heap_owners(void)
{
	return &heap.owners;
}

/* ---- hot paths ---- */

#define NEED_CACHED 1280u /* bytes of the last class that is cached */
_Static_assert(CLASSES_CACHED == 21, "NEED_CACHED is the stride of class 20");

/* Class of a need by 16 bytes: sizes come at random, and a branch on them is a wrong guess. */
static const uint8_t small_class[NEED_CACHED / 16 + 1] = {
	0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 12, 12,
	13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 16, 16, 16, 16, 16, 17,
	17, 17, 17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19,
	19, 19, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
};

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	size_t need = need_of(bytes);
	void *p = NULL;

	if (bytes - 1 >= BLOCK_MAX || owner.id >= OWNERS)
		return NULL;
	if (__builtin_expect(need <= NEED_CACHED, 1))
		p = cache_alloc(&heap.blocks, small_class[(need + 15) / 16], bytes, owner.id);
	if (__builtin_expect(!p, 0))
		return alloc_slowly(&heap.blocks, bytes, owner.id);
	set_live(p, bytes, owner.id);
	return p;
}
CELL_EXPORT(heap_alloc);

void heap_free(void *p)
{
	size_t bytes, need;

	if (!p)
		return;
	bytes = block_bytes(p);
	need = need_of(bytes);
	check_live(p);
	check_canary(p, bytes);
	if (__builtin_expect(need <= NEED_CACHED, 1)) {
		set_free(p);
		if (__builtin_expect(cache_free(&heap.blocks, small_class[(need + 15) / 16], p,
						bytes, block_owner(p)),
				     1))
			return;
	}
	free_slowly(&heap.blocks, p);
}
CELL_EXPORT(heap_free);

/* ---- the rest ---- */

void heap_trim(void)
{
	block_trim(&heap.blocks);
}
CELL_EXPORT(heap_trim);

bool heap_fail_nth(uint64_t nth)
{
	bool failed;

	if (nth > 0)
		cache_keep_closed(&heap.blocks, true);
	failed = frames_fail_nth(nth);
	if (nth == 0)
		cache_keep_closed(&heap.blocks, false);
	return failed;
}
CELL_EXPORT(heap_fail_nth);

void heap_stats(struct cell_ref cell, struct heap_stats *ret_stats)
{
	struct heap_stats stats = {0};

	if (cell.id == 0) {
		for (uint32_t owner = OWNER_NOBODY + 1; owner < OWNERS; owner++)
			account_sum(&heap.blocks, owner, &stats);
		stats.pages = __atomic_load_n(&heap.blocks.arenas.pages, __ATOMIC_RELAXED) +
			      __atomic_load_n(&heap.blocks.large_pages, __ATOMIC_RELAXED);
	} else if (cell.id < OWNERS) {
		account_sum(&heap.blocks, cell.id, &stats);
	}
	*ret_stats = stats;
}
CELL_EXPORT(heap_stats);

static int heap_init(const struct cell_boot *boot)
{
	uint32_t cpus = boot->record->cpus;

	if (cpus == 0 || cpus > GATE_MAX_CPUS)
		return -EINVAL;
	cache_init(&heap.blocks, cpus);
	return 0;
}

CELL_PROVIDE(cell_ops, heap) = {.init = heap_init};
