/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <assert.h>
#include <string.h>

#define ALL_FREE ((1u << ARENA_PAGES) - 1)

static void unlink_arena(struct arenas *a, struct arena *arena) REQUIRES(a->lock)
{
	if (arena->prev)
		arena->prev->next = arena->next;
	else
		a->head = arena->next;
	if (arena->next)
		arena->next->prev = arena->prev;
	else
		a->tail = arena->prev;
	arena->prev = NULL;
	arena->next = NULL;
}

/* First, or behind the first one if that lies before it: low addresses are filled first. */
static void link_early(struct arenas *a, struct arena *arena) REQUIRES(a->lock)
{
	bool behind = a->head && a->head < arena && a->head->free_pages != ALL_FREE;
	struct arena *before = behind ? a->head : NULL;
	struct arena **place = before ? &before->next : &a->head;

	arena->prev = before;
	arena->next = *place;
	if (arena->next)
		arena->next->prev = arena;
	else
		a->tail = arena;
	*place = arena;
}

static void link_last(struct arenas *a, struct arena *arena) REQUIRES(a->lock)
{
	arena->next = NULL;
	arena->prev = a->tail;
	if (a->tail)
		a->tail->next = arena;
	else
		a->head = arena;
	a->tail = arena;
}

/* First of @pages free pages in a row, or ARENA_PAGES. */
static unsigned find_pages(uint32_t free_pages, unsigned pages, bool small)
{
	uint32_t starts = small ? free_pages : free_pages & ~1u;

	for (unsigned i = 1; i < pages; i++)
		starts &= starts >> 1;
	return starts ? (unsigned)__builtin_ctz(starts) : ARENA_PAGES;
}

static struct slab *cut_span(struct arenas *a, struct arena *arena, unsigned page, unsigned pages)
	REQUIRES(a->lock)
{
	struct slab *slab = &arena->slabs[page];

	if (arena->free_pages == ALL_FREE)
		a->n_empty--;
	arena->free_pages &= ~(((1u << pages) - 1) << page);
	if (arena->free_pages == 0)
		unlink_arena(a, arena);
	memset(arena->first + page, (int)page, pages);
	*slab = (struct slab){.page = (uint8_t)page, .pages = (uint8_t)pages};
	slab->base = (uintptr_t)arena + (page == 0 ? ARENA_HEADER : page * (uint64_t)PAGE_SIZE);
	return slab;
}

struct slab *span_take(struct arenas *a, unsigned pages, bool small)
{
	struct slab *slab = NULL;

	spin_lock(&a->lock);
	for (struct arena *arena = a->head; arena && !slab; arena = arena->next) {
		unsigned page = find_pages(arena->free_pages, pages, small && pages == 1);

		if (page < ARENA_PAGES) {
			slab = cut_span(a, arena, page, pages);
			break;
		}
	}
	spin_unlock(&a->lock);
	return slab;
}

struct arena *span_give(struct arenas *a, struct slab *slab)
{
	struct arena *arena = arena_of(slab), *drop = NULL;

	spin_lock(&a->lock);
	if (arena->free_pages == 0)
		link_early(a, arena);
	arena->free_pages |= ((1u << slab->pages) - 1) << slab->page;
	if (arena->free_pages == ALL_FREE) {
		unlink_arena(a, arena);
		if (a->n_empty == 0) {
			link_last(a, arena);
			a->n_empty++;
		} else {
			a->pages -= ARENA_PAGES;
			drop = arena;
		}
	}
	spin_unlock(&a->lock);
	return drop;
}

struct arena *arena_take_empty(struct arenas *a)
{
	struct arena *drop = NULL;

	spin_lock(&a->lock);
	if (a->n_empty > 0) {
		drop = a->tail;
		unlink_arena(a, drop);
		a->n_empty--;
		a->pages -= ARENA_PAGES;
	}
	spin_unlock(&a->lock);
	return drop;
}

int arena_add(struct arenas *a)
{
	struct mapped region = {0};
	struct arena *arena;
	int r;

	r = mapped_create_raw(ARENA_BYTES, ARENA_BYTES, &region);
	if (r < 0)
		return r;
	arena = MAPPED_VIEW(struct arena, region, 0, 1);
	assert(arena);
	arena->region = region;
	arena->free_pages = ALL_FREE;
	spin_lock(&a->lock);
	link_last(a, arena);
	a->n_empty++;
	a->pages += ARENA_PAGES;
	spin_unlock(&a->lock);
	return 0;
}

void arena_drop(struct arena *arena)
{
	struct mapped region;

	if (!arena)
		return;
	region = arena->region;
	mapped_drop(&region);
}
