/* SPDX-License-Identifier: MIT */
/*
 * The hot paths: a block from the cache of this CPU, and back.
 *
 * A cache is reached through cache_of[]. To close all caches, every entry is pointed at one
 * that is always empty and takes nothing; when each CPU has been seen outside the section
 * that uses its cache, the real ones belong to whoever closed them. So the hot paths have no
 * locked instruction and no question to ask about this.
 */
#ifndef HEAP_CACHE_H
#define HEAP_CACHE_H

#include "block.h"

/* ---- the section of a CPU's own cache ---- */

#if __STDC_HOSTED__
static inline void section_begin(void)
{
}

static inline void section_end(void)
{
}
#else
/*
 * Masks upcalls like upcall_mask(), by a bit of its own: depth 65,536. A store, where
 * instructions that count would wait for each other through memory, which takes longer than
 * all the rest. Does not nest; what nests in it (nothing but a fault) never returns.
 */
static inline void section_begin(void)
{
	__asm__ volatile("movb $1, %%gs:2" ::: "memory");
}

static inline void section_end(void)
{
	bool pending;

	__asm__ volatile("movb $0, %%gs:2\n\ttestb $0x80, %%gs:3" : "=@ccnz"(pending)::"memory");
	if (__builtin_expect(pending, 0))
		upcall_take_pending_();
}
#endif
_Static_assert(GATE_MASK_PENDING == 0x80u << 24, "the byte that section_end() tests");

static inline struct cache *this_cache(struct blocks *b)
{
	return __atomic_load_n(&b->cache_of[heap_this_cpu()], __ATOMIC_RELAXED);
}

static inline uint64_t *account_in(struct cache *c, uint32_t owner)
{
	return __atomic_load_n(&c->accounts[owner / ACCOUNTS_PER_PAGE], __ATOMIC_ACQUIRE);
}

/* ---- lists; in the section ---- */

static inline void list_push(struct cache_list *l, void *p)
{
	*link_of(p) = l->head;
	l->head = p;
	l->count++;
}

/* Safe builds: @p waits, and what has waited longest comes out; NULL for nothing. */
static inline void *quarantine(struct cache_list *l, void *p)
{
#if HEAP_CHECKS == CHECKS_SAFE
	void **place = &l->waiting[l->next++ % QUARANTINE];
	void *out = *place;

	*place = p;
	return out;
#else
	(void)l;
	return p;
#endif
}

/* ---- a block ---- */

/* A block, accounted to @owner; NULL if there is none here, or no account yet. */
static inline void *cache_alloc(struct blocks *b, unsigned cls, size_t bytes, uint32_t owner)
{
	struct cache_list *l;
	struct cache *c;
	uint64_t *page;
	void *p;

	section_begin();
	c = this_cache(b);
	l = &c->lists[cls];
	p = l->head;
	page = account_in(c, owner);
	if (__builtin_expect(!p || !page, 0)) {
		section_end();
		return NULL;
	}
	l->head = *link_of(p);
	l->count--;
	page[owner % ACCOUNTS_PER_PAGE] += account_of_one(bytes);
	section_end();
	check_free(p);
	return p;
}

/* Takes a block that set_free() was called for, and accounts for it; false if there is no room. */
static inline bool cache_free(struct blocks *b, unsigned cls, void *p, size_t bytes, uint32_t owner)
{
	struct cache_list *l;
	struct cache *c;

	section_begin();
	c = this_cache(b);
	l = &c->lists[cls];
	if (__builtin_expect(l->count >= l->max, 0)) {
		section_end();
		return false;
	}
	account_in(c, owner)[owner % ACCOUNTS_PER_PAGE] -= account_of_one(bytes);
	p = quarantine(l, p);
	if (p)
		list_push(l, p);
	section_end();
	return true;
}

#endif
