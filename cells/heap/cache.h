/* SPDX-License-Identifier: MIT */
/*
 * The hot paths: a block from the cache of this CPU, and back.
 *
 * A CPU finds its cache through percpu.heap. To close all caches, each of these is pointed at one
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
	__atomic_store_n(&heap_cpu(heap_this_cpu())->inside, 1, __ATOMIC_SEQ_CST);
}

static inline struct cache *this_cache(void)
{
	return __atomic_load_n(heap_percpu(heap_this_cpu()), __ATOMIC_SEQ_CST);
}

static inline bool section_leave(void)
{
	__atomic_store_n(&heap_cpu(heap_this_cpu())->inside, 0, __ATOMIC_RELEASE);
	return false;
}

static inline void section_take_pending(void)
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

static inline struct cache *this_cache(void)
{
	return percpu_read(heap);
}

/* Result: something became pending: section_take_pending() is to be called. */
static inline bool section_leave(void)
{
	bool pending;

	__asm__ volatile("movb $0, %%gs:2\n\ttestb $0x80, %%gs:3" : "=@ccnz"(pending)::"memory");
	return __builtin_expect(pending, 0);
}

static inline void section_take_pending(void)
{
	upcall_take_pending_();
}
#endif
_Static_assert(GATE_MASK_PENDING == 0x80u << 24, "the byte that section_leave() tests");

static inline void section_end(void)
{
	if (section_leave())
		section_take_pending();
}

static inline uint64_t *account_in(struct cache *c, uint32_t owner)
{
	return __atomic_load_n(&c->accounts[owner / ACCOUNTS_PER_PAGE], __ATOMIC_ACQUIRE);
}

/* Where the next block that is freed goes. */
static inline void ***freed(struct cache_list *l)
{
#if HEAP_CHECKS == CHECKS_SAFE
	return &l->freed;
#else
	return &l->ready;
#endif
}

/* Asks for what will be written soon; where it is read first, that does the same. */
static inline void prefetch(const void *p)
{
	if (HEAP_CHECKS < CHECKS_SAFE)
		__builtin_prefetch(header_of(p), 1);
}

/* ---- a block; in the section ---- */

/* Where the lists start in a cache. */
#define CACHE_LISTS offsetof(struct cache, lists)

static inline size_t list_of_class(unsigned cls)
{
	return CACHE_LISTS + cls * sizeof(struct cache_list);
}

static inline struct cache_list *list_at(struct cache *c, size_t offset)
{
	return (struct cache_list *)(void *)((uint8_t *)c + offset);
}

/*
 * A block out of the list at @list, accounted to @owner; NULL if there is none here, or no account
 * yet.
 */
static inline void *cache_alloc(size_t list, size_t bytes, uint32_t owner)
{
	struct cache *c = this_cache();
	struct cache_list *l = list_at(c, list);
	uint64_t *page = account_in(c, owner);
	void *p = l->ready[-1];

	prefetch(p);
	if (__builtin_expect(!p || !page, 0))
		return NULL;
	l->ready--;
	page[owner % ACCOUNTS_PER_PAGE] += account_of_one(bytes);
	return p;
}

/* Takes a block that set_free() was called for, and accounts for it; false if there is no room. */
static inline bool cache_free(size_t list, void *p, size_t bytes, uint32_t owner)
{
	struct cache *c = this_cache();
	struct cache_list *l = list_at(c, list);
	void **place = *freed(l);

	if (__builtin_expect(place == l->end, 0))
		return false;
	*place = p;
	*freed(l) = place + 1;
	account_in(c, owner)[owner % ACCOUNTS_PER_PAGE] -= account_of_one(bytes);
	return true;
}

#endif
