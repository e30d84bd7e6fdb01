/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <theseus/handoff.h>

struct heap_state {
	struct blocks blocks;
	struct accounts accounts;
	struct types types;
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

/* ---- accounts ---- */

static struct account **account_pages(uint32_t owner)
{
	return heap.accounts.pages[owner / ACCOUNTS_PER_PAGE];
}

/* Pages of one set of owners are made in the order of CPUs: the last one says that all are there. */
static bool accounts_ready(uint32_t owner)
{
	struct account **pages = account_pages(owner);

	return __atomic_load_n(&pages[heap.accounts.cpus - 1], __ATOMIC_ACQUIRE) != NULL;
}

int account_prepare(uint32_t owner)
{
	struct account **pages = account_pages(owner);

	for (uint32_t cpu = 0; !accounts_ready(owner); cpu++) {
		struct account *page, *none = NULL;

		if (__atomic_load_n(&pages[cpu], __ATOMIC_RELAXED))
			continue;
		page = page_alloc(&heap.blocks);
		if (!page)
			return -ENOMEM;
		memset(page, 0, PAGE_SIZE);
		if (!__atomic_compare_exchange_n(&pages[cpu], &none, page, false, __ATOMIC_RELEASE,
						 __ATOMIC_RELAXED))
			page_free(&heap.blocks, page);
	}
	return 0;
}

void account_add(uint32_t owner, int64_t bytes, int64_t objects)
{
	struct account *a;

	upcall_mask();
	a = &account_pages(owner)[heap_this_cpu()][owner % ACCOUNTS_PER_PAGE];
	a->bytes += bytes;
	a->objects += objects;
	upcall_unmask();
}

static void add_up(uint32_t owner, struct heap_stats *stats)
{
	for (uint32_t cpu = 0; cpu < heap.accounts.cpus; cpu++) {
		const struct account *a =
			&account_pages(owner)[cpu][owner % ACCOUNTS_PER_PAGE];

		stats->bytes += (uint64_t)__atomic_load_n(&a->bytes, __ATOMIC_RELAXED);
		stats->objects += (uint64_t)__atomic_load_n(&a->objects, __ATOMIC_RELAXED);
	}
}

/* ---- the plain heap ---- */

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	void *p;

	if (bytes == 0 || bytes > BLOCK_MAX || owner.id >= BLOCK_OWNERS)
		return NULL;
	if (account_prepare(owner.id) < 0)
		return NULL;
	p = block_alloc(&heap.blocks, bytes, owner.id);
	if (p)
		account_add(owner.id, (int64_t)bytes, 1);
	return p;
}
CELL_EXPORT(heap_alloc);

void heap_free(void *p)
{
	uint32_t owner;
	size_t bytes;

	if (!p)
		return;
	owner = block_owner(p);
	bytes = block_bytes(p);
	block_free(&heap.blocks, p);
	account_add(owner, -(int64_t)bytes, -1);
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

	for (uint32_t owner = 0; owner < BLOCK_OWNERS; owner++) {
		if (cell.id != 0 && owner != cell.id)
			continue;
		if (accounts_ready(owner))
			add_up(owner, &stats);
	}
	if (cell.id == 0)
		stats.pages = __atomic_load_n(&heap.blocks.arenas.pages, __ATOMIC_RELAXED) +
			      __atomic_load_n(&heap.blocks.large_pages, __ATOMIC_RELAXED);
	*ret_stats = stats;
}
CELL_EXPORT(heap_stats);

static int heap_init(const struct cell_boot *boot)
{
	uint32_t cpus = boot->record->cpus;

	if (cpus == 0 || cpus > GATE_MAX_CPUS)
		return -EINVAL;
	heap.accounts.cpus = cpus;
	return 0;
}

CELL_PROVIDE(cell_ops, heap) = {.init = heap_init};
