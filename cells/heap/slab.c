/* SPDX-License-Identifier: MIT */
#include "block.h"

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

/* ---- slabs; the class is locked ---- */

/*
 * First, if it lies before the one that is, else behind that: so slabs at low addresses are filled
 * first, those at high ones, which were added last, run empty, and their arenas can go.
 */
static void list_slab(struct size_class *c, struct slab *slab) REQUIRES(c->lock)
{
	struct slab *before = c->partial && c->partial < slab ? c->partial : NULL;
	struct slab **place = before ? &before->next : &c->partial;

	slab->prev = before;
	slab->next = *place;
	if (slab->next)
		slab->next->prev = slab;
	*place = slab;
	slab->listed = true;
}

static void unlist_slab(struct size_class *c, struct slab *slab) REQUIRES(c->lock)
{
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		c->partial = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
	slab->listed = false;
}

static struct slab *slab_create(struct blocks *b, struct size_class *c, unsigned cls)
	REQUIRES(c->lock)
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
	list_slab(c, slab);
	return slab;
}

static void *slab_take(struct size_class *c, struct slab *slab) REQUIRES(c->lock)
{
	unsigned index = slab->first_free;
	void *p;

	if (index == SLAB_NONE)
		index = slab->n_touched++;
	p = (void *)(uintptr_t)(slab->base + (uint64_t)index * stride_of(slab->cls));
	if (index == slab->first_free)
		slab->first_free = (uint16_t)header_of(p)->what;
	else
		set_free(p);
	if (++slab->n_used == slab->n_blocks)
		unlist_slab(c, slab);
	return p;
}

/* Result: an arena to drop, or NULL. */
static struct arena *slab_give(struct blocks *b, struct size_class *c, void *p) REQUIRES(c->lock)
{
	struct slab *slab = slab_of(p);

	header_of(p)->what = slab->first_free;
	slab->first_free = (uint16_t)(((uintptr_t)p - slab->base) / stride_of(slab->cls));
	if (!slab->listed)
		list_slab(c, slab);
	if (--slab->n_used > 0)
		return NULL;
	unlist_slab(c, slab);
	return span_give(&b->arenas, slab);
}

/* ---- classes ---- */

unsigned class_take(struct blocks *b, unsigned cls, unsigned n, void **ret_chain)
{
	struct size_class *c = &b->classes[cls];
	unsigned taken = 0;

	*ret_chain = NULL;
	spin_lock(&c->lock);
	if (n == CHAIN_FULL) {
		n = chain_max(cls);
		if (c->n_depot > 0) {
			*ret_chain = c->depot[--c->n_depot];
			taken = n;
		}
	}
	while (taken < n) {
		struct slab *slab = c->partial ? c->partial : slab_create(b, c, cls);
		void *p = slab ? slab_take(c, slab) : NULL;

		if (!p)
			break;
		*link_of(p) = *ret_chain;
		*ret_chain = p;
		taken++;
	}
	spin_unlock(&c->lock);
	return taken;
}

void class_give(struct blocks *b, unsigned cls, void *chain)
{
	struct size_class *c = &b->classes[cls];
	struct arena *drop = NULL;

	spin_lock(&c->lock);
	while (chain) {
		struct arena *arena;
		void *p = chain;

		chain = *link_of(p);
		arena = slab_give(b, c, p);
		if (arena) {
			arena->next = drop;
			drop = arena;
		}
	}
	spin_unlock(&c->lock);
	while (drop) {
		struct arena *arena = drop;

		drop = arena->next;
		arena_drop(arena);
	}
}

void class_give_full(struct blocks *b, unsigned cls, void *chain)
{
	struct size_class *c = &b->classes[cls];

	spin_lock(&c->lock);
	if (c->n_depot < DEPOT_MAX)
		c->depot[c->n_depot++] = TAKE(chain);
	spin_unlock(&c->lock);
	if (chain)
		class_give(b, cls, chain);
}

void class_trim(struct blocks *b, unsigned cls)
{
	struct size_class *c = &b->classes[cls];

	for (;;) {
		void *chain = NULL;

		spin_lock(&c->lock);
		if (c->n_depot > 0)
			chain = c->depot[--c->n_depot];
		spin_unlock(&c->lock);
		if (!chain)
			return;
		class_give(b, cls, chain);
	}
}
