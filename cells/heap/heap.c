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

/*
 * Where in a CPU's cache the list for a need of up to that many times 16 bytes is: sizes come at
 * random, and a branch on them is a wrong guess.
 */
#define L(cls) (CACHE_LISTS + (cls) * sizeof(struct cache_list))
static const uint16_t small_list[NEED_CACHED / 16 + 1] = {
	L(0),  L(0),  L(1),  L(2),  L(3),  L(4),  L(5),  L(6),  L(7),  L(8),  L(8),  L(9),
	L(9),  L(10), L(10), L(11), L(11), L(12), L(12), L(12), L(12), L(13), L(13), L(13),
	L(13), L(14), L(14), L(14), L(14), L(15), L(15), L(15), L(15), L(16), L(16), L(16),
	L(16), L(16), L(16), L(16), L(16), L(17), L(17), L(17), L(17), L(17), L(17), L(17),
	L(17), L(18), L(18), L(18), L(18), L(18), L(18), L(18), L(18), L(19), L(19), L(19),
	L(19), L(19), L(19), L(19), L(19), L(20), L(20), L(20), L(20), L(20), L(20), L(20),
	L(20), L(20), L(20), L(20), L(20), L(20), L(20), L(20), L(20),
};
#undef L

/*
 * What the hot paths have left to do when something comes between: in functions of their own that
 * end them, so that the hot paths save no registers.
 */
static __attribute__((noinline, cold)) void *alloc_otherwise(size_t bytes, uint32_t owner)
{
	section_end();
	return alloc_slowly(&heap.blocks, bytes, owner);
}

static inline void *alloc_finish(void *p, size_t bytes, uint32_t owner)
{
	check_free(p);
	set_live(p, bytes, owner);
	return p;
}

static __attribute__((noinline, cold)) void *alloc_pending(void *p, size_t bytes, uint32_t owner)
{
	section_take_pending();
	return alloc_finish(p, bytes, owner);
}

static __attribute__((noinline, cold)) void free_otherwise(void *p)
{
	section_end();
	free_slowly(&heap.blocks, p);
}

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	size_t need = need_of(bytes);
	void *p;

	if (__builtin_expect(need - need_of(1) >= NEED_CACHED - need_of(0) || owner.id >= OWNERS,
			     0))
		return alloc_slowly(&heap.blocks, bytes, owner.id);
	section_begin();
	p = cache_alloc(small_list[(need + 15) / 16], bytes, owner.id);
	if (__builtin_expect(!p, 0))
		return alloc_otherwise(bytes, owner.id);
	if (section_leave())
		return alloc_pending(p, bytes, owner.id);
	return alloc_finish(p, bytes, owner.id);
}
CELL_EXPORT(heap_alloc);

void heap_free(void *p)
{
	size_t bytes, need;
	uint32_t owner;

	if (!p)
		return;
	bytes = block_bytes(p);
	owner = block_owner(p);
	need = need_of(bytes);
	check_live(p);
	if (__builtin_expect(need > NEED_CACHED, 0)) {
		free_uncached(&heap.blocks, p);
		return;
	}
	check_canary(p, bytes);
	set_free(p);
	section_begin();
	if (__builtin_expect(!cache_free(small_list[(need + 15) / 16], p, bytes, owner), 0))
		free_otherwise(p);
	else if (section_leave())
		section_take_pending();
}
CELL_EXPORT(heap_free);

/* ---- the rest ---- */

void heap_trim(void)
{
	types_trim();
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
		account_sum_all(&heap.blocks, &stats);
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
