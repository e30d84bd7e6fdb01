/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <theseus/handoff.h>

struct heap_state {
	struct blocks blocks;
	struct types types;
	struct owners owners;
};

CELL_INFO(.name = "heap", .version = "1.0.0", .safety = CELL_UNSAFE,
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

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	if (bytes - 1 >= BLOCK_MAX || owner.id >= OWNERS)
		return NULL;
	return block_alloc(&heap.blocks, bytes, owner.id);
}
CELL_EXPORT(heap_alloc);

void heap_free(void *p)
{
	if (p)
		block_free(&heap.blocks, p);
}
CELL_EXPORT(heap_free);

void heap_trim(void)
{
	block_trim(&heap.blocks);
}
CELL_EXPORT(heap_trim);

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
	heap.blocks.accounts.cpus = cpus;
	return 0;
}

CELL_PROVIDE(cell_ops, heap) = {.init = heap_init};
