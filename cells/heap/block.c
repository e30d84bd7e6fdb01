/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <assert.h>
#include <string.h>

#if HEAP_CHECKS == CHECKS_SAFE
#define CANARY_BYTES 8u
#else
#define CANARY_BYTES 0u
#endif
#define CANARY 0xc5
#define POISON 0xdb

#define CACHE_MAX 24u   /* blocks of a class that a CPU keeps */
#define CACHE_REFILL 8u /* and takes or gives back at once */
#define QUARANTINE 16u  /* safe builds: blocks freed later that one waits for */

#define MARK_LIVE 0x11fe0a5du
#define MARK_FREE 0xdead0f2eu

/* ---- headers ---- */

static struct block_header *header_of(const void *p)
{
	return (struct block_header *)((uintptr_t)p - BLOCK_HEADER);
}

static size_t block_bytes(const void *p)
{
	return (header_of(p)->what & (BLOCK_MAX - 1)) + (size_t)1;
}

static uint32_t block_owner(const void *p)
{
	return header_of(p)->what / BLOCK_MAX;
}

/* Covers the rest of the header while the block is live. */
static uint32_t live_mark(const void *p)
{
	return MARK_LIVE ^ header_of(p)->what ^ (uint32_t)((uintptr_t)p >> 4);
}

static uint32_t free_mark(const void *p)
{
	return MARK_FREE ^ (uint32_t)((uintptr_t)p >> 4);
}

/* What a block of @bytes takes up, without its place in a class. */
static size_t need_of(size_t bytes)
{
	return bytes + BLOCK_HEADER + CANARY_BYTES;
}

/* ---- classes ---- */

static unsigned class_of(size_t need)
{
	unsigned log;

	if (need <= 128)
		return (unsigned)(need + 15) / 16 - 1;
	log = 63 - (unsigned)__builtin_clzll(need - 1);
	return 8 + (log - 7) * 4 + ((need - 1) >> (log - 2) & 3);
}

static unsigned stride_of(unsigned cls)
{
	if (cls < 8)
		return (cls + 1) * 16;
	return (5 + (cls - 8) % 4) << ((cls - 8) / 4 + 5);
}

/* Pages of a slab: so that little is left over, and few pages wait for the last block. */
static unsigned pages_of(unsigned stride)
{
	if (stride <= 512)
		return 1;
	if (stride <= 2048)
		return 2;
	if (stride <= 8192)
		return 4;
	return (stride + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* ---- checks ---- */

/* The canary takes up all that the block leaves of its place. */
static void canary_set(void *p, size_t bytes, size_t room)
{
	if (HEAP_CHECKS == CHECKS_SAFE)
		memset((uint8_t *)p + bytes, CANARY, room - bytes);
}

static bool all_bytes(const uint8_t *p, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != value)
			return false;
	}
	return true;
}

static void set_live(void *p, size_t bytes, size_t room, uint32_t owner)
{
	struct block_header *h = header_of(p);

	h->what = owner * BLOCK_MAX | (uint32_t)(bytes - 1);
	if (HEAP_CHECKS >= CHECKS_PARTIAL)
		h->mark = live_mark(p);
	canary_set(p, bytes, room);
}

/* Bytes behind the header of a block of @cls. */
static size_t room_of(unsigned cls)
{
	return stride_of(cls) - BLOCK_HEADER;
}

static void check_live(const void *p)
{
	if (HEAP_CHECKS < CHECKS_PARTIAL)
		return;
	if (header_of(p)->mark == free_mark(p))
		TRAP("heap_free: freed twice");
	if (header_of(p)->mark != live_mark(p))
		TRAP("heap_free: not a block, or its header was overwritten");
}

static void check_canary(const void *p, size_t bytes, size_t room)
{
	if (HEAP_CHECKS == CHECKS_SAFE &&
	    !all_bytes((const uint8_t *)p + bytes, room - bytes, CANARY))
		TRAP("heap_free: written past the end of the block");
}

static void set_free(void *p, size_t room)
{
	if (HEAP_CHECKS >= CHECKS_PARTIAL)
		header_of(p)->mark = free_mark(p);
	if (HEAP_CHECKS == CHECKS_SAFE)
		memset(p, POISON, room);
}

/*
 * Where a free block of @cls keeps a link: its last word in safe builds, which a write
 * after the free hits least often, and where the canary was anyway.
 */
static void **link_of(void *p, unsigned cls)
{
	size_t at = HEAP_CHECKS == CHECKS_SAFE ? room_of(cls) - sizeof(void *) : 0;

	return (void **)(void *)((uint8_t *)p + at);
}

/* Result: false if a freed block was written to, its link apart. */
static bool still_free(const void *p, unsigned cls)
{
	if (HEAP_CHECKS < CHECKS_SAFE)
		return true;
	return header_of(p)->mark == free_mark(p) &&
	       all_bytes(p, room_of(cls) - sizeof(void *), POISON);
}

/* ---- slabs; the class is locked ---- */

static void list_slab(struct size_class *c, struct slab *slab)
{
	slab->prev = NULL;
	slab->next = c->partial;
	if (c->partial)
		c->partial->prev = slab;
	c->partial = slab;
	slab->listed = true;
}

static void unlist_slab(struct size_class *c, struct slab *slab)
{
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		c->partial = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
	slab->listed = false;
}

static struct slab *slab_of(const void *p)
{
	struct arena *arena = arena_of(p);

	return &arena->slabs[arena->first[((uintptr_t)p & (ARENA_BYTES - 1)) / PAGE_SIZE]];
}

static struct slab *slab_create(struct blocks *b, unsigned cls)
{
	unsigned stride = stride_of(cls), pages = pages_of(stride);
	struct slab *slab = span_take(&b->arenas, pages, stride <= 512);
	uint64_t end;

	if (!slab)
		return NULL;
	end = (uintptr_t)arena_of(slab) + (slab->page + slab->pages) * (uint64_t)PAGE_SIZE;
	slab->n_blocks = (uint16_t)((end - slab->base) / stride);
	slab->first_free = SLAB_NONE;
	slab->cls = (uint8_t)cls;
	list_slab(&b->classes[cls], slab);
	return slab;
}

static void *slab_take(struct size_class *c, struct slab *slab, unsigned stride)
{
	unsigned index = slab->first_free;
	void *p;

	if (index == SLAB_NONE)
		index = slab->n_touched++;
	p = (void *)(uintptr_t)(slab->base + (uint64_t)index * stride);
	if (index == slab->first_free)
		slab->first_free = (uint16_t)header_of(p)->what;
	if (++slab->n_used == slab->n_blocks)
		unlist_slab(c, slab);
	return p;
}

/* Result: an arena to drop, or NULL. */
static struct arena *slab_give(struct blocks *b, void *p)
{
	struct slab *slab = slab_of(p);
	struct size_class *c = &b->classes[slab->cls];

	header_of(p)->what = slab->first_free;
	slab->first_free = (uint16_t)(((uintptr_t)p - slab->base) / stride_of(slab->cls));
	if (!slab->listed)
		list_slab(c, slab);
	if (--slab->n_used > 0)
		return NULL;
	unlist_slab(c, slab);
	return span_give(&b->arenas, slab);
}

/* A block straight from a slab, or NULL. Adds memory if it must. */
static void *class_take(struct blocks *b, unsigned cls)
{
	struct size_class *c = &b->classes[cls];

	for (;;) {
		struct slab *slab;
		void *p = NULL;

		spin_lock(&c->lock);
		slab = c->partial ? c->partial : slab_create(b, cls);
		if (slab)
			p = slab_take(c, slab, stride_of(cls));
		spin_unlock(&c->lock);
		if (p || arena_add(&b->arenas) < 0)
			return p;
	}
}

static void class_give(struct blocks *b, unsigned cls, void *p)
{
	struct size_class *c = &b->classes[cls];
	struct arena *drop;

	spin_lock(&c->lock);
	drop = slab_give(b, p);
	spin_unlock(&c->lock);
	arena_drop(drop);
}

/* ---- caches; masked ---- */

static void list_push(struct cache_list *l, unsigned cls, void *p)
{
	if (HEAP_CHECKS == CHECKS_SAFE) {
		*link_of(p, cls) = NULL;
		if (l->tail)
			*link_of(l->tail, cls) = p;
		else
			l->head = p;
		l->tail = p;
	} else {
		*link_of(p, cls) = l->head;
		l->head = p;
	}
	l->count++;
}

static void *list_pop(struct cache_list *l, unsigned cls)
{
	void *p = l->head;

	l->head = *link_of(p, cls);
	if (HEAP_CHECKS == CHECKS_SAFE && !l->head)
		l->tail = NULL;
	l->count--;
	return p;
}

/* Takes blocks of a slab that is there; never adds memory. Safe builds keep what was freed. */
static void list_refill(struct blocks *b, struct cache_list *l, unsigned cls)
{
	struct size_class *c = &b->classes[cls];

	if (HEAP_CHECKS == CHECKS_SAFE)
		return;
	spin_lock(&c->lock);
	for (unsigned i = 0; i < CACHE_REFILL && c->partial; i++)
		list_push(l, cls, slab_take(c, c->partial, stride_of(cls)));
	spin_unlock(&c->lock);
}

/* A cached block, accounted to @owner; NULL if there is none, or no account yet. */
static void *cache_take(struct blocks *b, unsigned cls, size_t bytes, uint32_t owner)
{
	struct account *account;
	struct cache_list *l;
	bool intact = true;
	unsigned cpu;
	void *p = NULL;

	upcall_mask();
	cpu = heap_this_cpu();
	l = &b->caches[cpu].lists[cls];
	account = account_of(&b->accounts, cpu, owner);
	if (l->count == 0)
		list_refill(b, l, cls);
	if (account && l->count > (HEAP_CHECKS == CHECKS_SAFE ? QUARANTINE : 0)) {
		p = list_pop(l, cls);
		intact = still_free(p, cls);
		account_change(account, (int64_t)bytes, 1);
	}
	upcall_unmask();
	if (!intact)
		TRAP("heap: a block was written to after it was freed");
	return p;
}

/* Takes up to @n blocks out of a list. Result: the first, linked to the others. */
static void *list_shorten(struct cache_list *l, unsigned cls, unsigned n)
{
	void *first = NULL;

	while (n-- > 0 && l->count > 0) {
		void *p = list_pop(l, cls);

		*link_of(p, cls) = first;
		first = p;
	}
	return first;
}

static void give_chain(struct blocks *b, unsigned cls, void *first)
{
	while (first) {
		void *p = first;

		first = *link_of(p, cls);
		if (!still_free(p, cls))
			TRAP("heap: a block was written to after it was freed");
		class_give(b, cls, p);
	}
}

static void cache_give(struct blocks *b, unsigned cls, void *p, size_t bytes, uint32_t owner)
{
	struct cache_list *l;
	void *over = NULL;
	unsigned cpu;

	upcall_mask();
	cpu = heap_this_cpu();
	account_change(account_there(&b->accounts, cpu, owner), -(int64_t)bytes, -1);
	l = &b->caches[cpu].lists[cls];
	list_push(l, cls, p);
	if (l->count > CACHE_MAX)
		over = list_shorten(l, cls, CACHE_REFILL);
	upcall_unmask();
	give_chain(b, cls, over);
}

void block_trim(struct blocks *b)
{
	for (unsigned cls = 0; cls < CLASSES_CACHED; cls++) {
		void *first;

		upcall_mask();
		first = list_shorten(&b->caches[heap_this_cpu()].lists[cls], cls, UINT32_MAX);
		upcall_unmask();
		give_chain(b, cls, first);
	}
	arena_drop(arena_take_empty(&b->arenas));
}

/* ---- large blocks: a region each ---- */

/* At the region's start; the block follows, its header in the last eight bytes. */
struct large {
	struct mapped region;
	uint64_t pages;
	uint8_t padding[40];
	struct block_header header;
};
_Static_assert(sizeof(struct large) == 64, "blocks are aligned to 16");

static uint64_t large_pages(size_t bytes)
{
	return (sizeof(struct large) + bytes + CANARY_BYTES + PAGE_SIZE - 1) / PAGE_SIZE;
}

static void *large_alloc(struct blocks *b, size_t bytes, uint32_t owner)
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
	__atomic_fetch_add(&b->large_pages, pages, __ATOMIC_RELAXED);
	set_live(l + 1, bytes, pages * PAGE_SIZE - sizeof(*l), owner);
	return l + 1;
}

static void large_free(struct blocks *b, void *p)
{
	struct large *l = (struct large *)p - 1;
	struct mapped region = l->region;

	check_canary(p, block_bytes(p), l->pages * PAGE_SIZE - sizeof(*l));
	__atomic_fetch_sub(&b->large_pages, l->pages, __ATOMIC_RELAXED);
	mapped_drop(&region);
}

/* ---- blocks ---- */

/* What the caches cannot give: from a slab, or a region of its own. */
static __attribute__((noinline)) void *alloc_slowly(struct blocks *b, unsigned cls, size_t bytes,
						    uint32_t owner)
{
	void *p;

	if (account_prepare(b, owner) < 0)
		return NULL;
	if (cls < CLASSES) {
		p = class_take(b, cls);
		if (p)
			set_live(p, bytes, room_of(cls), owner);
	} else {
		p = large_alloc(b, bytes, owner);
	}
	if (p)
		account_add(b, owner, (int64_t)bytes, 1);
	return p;
}

void *block_alloc(struct blocks *b, size_t bytes, uint32_t owner)
{
	size_t need = need_of(bytes);
	unsigned cls = need > CLASS_STRIDE_MAX ? CLASSES : class_of(need);
	void *p;

	if (cls >= CLASSES_CACHED)
		return alloc_slowly(b, cls, bytes, owner);
	p = cache_take(b, cls, bytes, owner);
	if (!p)
		return alloc_slowly(b, cls, bytes, owner);
	set_live(p, bytes, room_of(cls), owner);
	return p;
}

void block_free(struct blocks *b, void *p)
{
	size_t bytes = block_bytes(p), need = need_of(bytes);
	uint32_t owner = block_owner(p);
	unsigned cls;

	check_live(p);
	if (need > CLASS_STRIDE_MAX) {
		large_free(b, p);
		account_add(b, owner, -(int64_t)bytes, -1);
		return;
	}
	cls = class_of(need);
	check_canary(p, bytes, room_of(cls));
	set_free(p, room_of(cls));
	if (cls < CLASSES_CACHED) {
		cache_give(b, cls, p, bytes, owner);
		return;
	}
	class_give(b, cls, p);
	account_add(b, owner, -(int64_t)bytes, -1);
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
