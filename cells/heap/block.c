/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <assert.h>
#include <theseus/frames.h>

/* ---- large blocks: a region each ---- */

/* At the region's start; the block follows, its header in the last eight bytes. */
struct large {
	struct mapped region;
	uint64_t pages, bytes;
	uint8_t padding[32];
	struct block_header header;
};
_Static_assert(sizeof(struct large) == 64, "blocks are aligned to 16");

static uint64_t large_pages(size_t bytes)
{
	return (sizeof(struct large) + bytes + CANARY_BYTES + PAGE_SIZE - 1) / PAGE_SIZE;
}

static void *large_alloc(struct blocks *b, size_t bytes)
{
	uint64_t pages = large_pages(bytes);
	struct mapped region = {0};
	struct large *l;

	if (mapped_create_raw(pages * PAGE_SIZE, PAGE_SIZE, &region) < 0)
		return NULL;
	l = MAPPED_VIEW(struct large, region, 0, 1);
	assert(l);
	l->region = region;
	l->pages = pages;
	l->bytes = bytes;
	__atomic_fetch_add(&b->large_pages, pages, __ATOMIC_RELAXED);
	return l + 1;
}

static void large_free(struct blocks *b, void *p)
{
	struct large *l = (struct large *)p - 1;
	struct mapped region = l->region;

	__atomic_fetch_sub(&b->large_pages, l->pages, __ATOMIC_RELAXED);
	mapped_drop(&region);
}

/* What block_bytes() knows only of blocks that are not large. */
static size_t bytes_of_any(const void *p)
{
	size_t bytes = block_bytes(p);

	return class_for(bytes) < CLASSES ? bytes : ((const struct large *)p - 1)->bytes;
}

/* ---- blocks ---- */

void *block_take(struct blocks *b, unsigned cls)
{
	void *p;

	while (class_take(b, cls, 1, &p) == 0) {
		if (arena_add(&b->arenas) < 0)
			return NULL;
	}
	return p;
}

void block_give(struct blocks *b, unsigned cls, void *p)
{
	*link_of(p) = NULL;
	class_give(b, cls, p);
}

/* Of any class, or large. Takes back what caches keep before it fails for want of memory. */
static void *take_one(struct blocks *b, unsigned cls, size_t bytes)
{
	void *p;

	if (cls == CLASSES)
		return large_alloc(b, bytes);
	p = block_take(b, cls);
	if (!p) {
		cache_trim(b);
		p = block_take(b, cls);
	}
	if (p)
		check_free(p);
	return p;
}

/* A block from the cache, which is refilled for that. NULL: take one from elsewhere. */
static void *take_cached(struct blocks *b, unsigned cls, size_t bytes, uint32_t owner)
{
	void *p;

	cache_refill(b, cls);
	section_begin();
	p = cache_alloc(list_of_class(cls), bytes, owner);
	section_end();
	if (p)
		check_free(p);
	return p;
}

void *alloc_slowly(struct blocks *b, size_t bytes, uint32_t owner)
{
	LEDGER_WHOLE();
	unsigned cls = class_for(bytes);
	void *p = NULL;

	if (bytes - 1 >= BLOCK_MAX || owner >= OWNERS)
		return NULL;
	if (frames_fails() || account_prepare(b, owner) < 0)
		return NULL;
	if (cls < CLASSES_CACHED)
		p = take_cached(b, cls, bytes, owner);
	if (!p) {
		p = take_one(b, cls, bytes);
		if (!p)
			return NULL;
		account_add(b, owner, account_of_one(bytes));
	}
	set_live(p, bytes, owner);
	return p;
}

static bool give_cached(struct blocks *b, unsigned cls, void *p)
{
	bool given;

	cache_shrink(b, cls);
	section_begin();
	given = cache_free(list_of_class(cls), p, block_bytes(p), block_owner(p));
	section_end();
	return given;
}

void free_slowly(struct blocks *b, void *p)
{
	LEDGER_WHOLE();
	size_t bytes = bytes_of_any(p);
	unsigned cls = class_for(bytes);
	uint32_t owner = block_owner(p);

	if (cls < CLASSES)
		set_free(p);
	if (cls < CLASSES_CACHED && give_cached(b, cls, p))
		return;
	account_add(b, owner, -account_of_one(bytes));
	if (cls < CLASSES)
		block_give(b, cls, p);
	else
		large_free(b, p);
}

void free_uncached(struct blocks *b, void *p)
{
	check_canary(p, bytes_of_any(p));
	free_slowly(b, p);
}

void block_trim(struct blocks *b)
{
	LEDGER_WHOLE();
	cache_trim(b);
	arena_drop(arena_take_empty(&b->arenas));
}

void *page_alloc(struct blocks *b)
{
	for (;;) {
		struct slab *slab = span_take(&b->arenas, 1, false);

		if (slab)
			return (void *)(uintptr_t)(slab->base - BLOCK_HEADER);
		if (arena_add(&b->arenas) < 0)
			return NULL;
	}
}

void page_free(struct blocks *b, void *page)
{
	arena_drop(span_give(&b->arenas, slab_of((uint8_t *)page + BLOCK_HEADER)));
}
