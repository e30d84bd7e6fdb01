/* SPDX-License-Identifier: MIT */
/*
 * Layers of the heap, bottom up:
 *   arena.c    64 KiB regions of `mapped`, cut into spans of pages
 *   slab.c     blocks in slabs (a span of one size class)
 *   cache.h    free blocks that each CPU keeps
 *   block.c    blocks of any size, each accounted to an owner; large ones in regions alone
 *   account.c  what each CPU did for each owner
 *   heap.c     the state, and the public plain heap with its hot paths
 *   object.h   typed objects
 *
 * Locks, outermost first: of all types, of a type, of the objects of a task, of closing the
 * caches, of a class, of the arenas. No gate call is made under one but that of closing:
 * regions are made and dropped when the others are released. Caches and accounts belong to a
 * CPU and are used masked.
 */
#ifndef HEAP_INTERNAL_H
#define HEAP_INTERNAL_H

#include <theseus/heap.h>
#include <theseus/ledger.h>
#include <theseus/mapped.h>
#include <theseus/spinlock.h>
#include <theseus/trap.h>

/* What the build checks: -Dheap= as a number. */
#define CHECKS_UNSAFE 0
#define CHECKS_PARTIAL 1
#define CHECKS_SAFE 2

/* ---- arena.c ---- */

#define ARENA_BYTES 65536u
#define ARENA_PAGES (ARENA_BYTES / PAGE_SIZE)
#define SLAB_NONE 0xffffu /* index of no block */

/* A span of pages that holds blocks of one class. Its record lies in the arena's header. */
struct slab {
	struct slab *prev, *next; /* slabs of the class with something free */
	uint64_t base;            /* address of block 0 */
	uint16_t n_blocks;
	uint16_t n_used;
	uint16_t n_touched;  /* blocks from here on were never used */
	uint16_t first_free; /* of those that were; each names the next in its header */
	uint8_t cls;
	uint8_t page, pages;
	uint8_t listed;
};

struct arena {
	struct arena *prev, *next; /* arenas with free pages */
	struct mapped region;
	uint32_t free_pages;            /* a bit a page */
	uint8_t first[ARENA_PAGES];     /* first page of the span that a page belongs to */
	struct slab slabs[ARENA_PAGES]; /* by first page */
};

/* Page 0 starts with the header; the rest of it holds small blocks. */
#define ARENA_HEADER ((sizeof(struct arena) + 8 + 15) & ~15ull)
_Static_assert(ARENA_HEADER <= PAGE_SIZE / 4, "page 0 is to be worth having");

struct arenas {
	struct spinlock lock;
	struct arena *head, *tail; /* those with free pages; empty ones last */
	uint32_t n_empty;
	uint64_t pages; /* of all arenas */
};

static inline struct arena *arena_of(const void *p)
{
	return (struct arena *)((uintptr_t)p & ~(uintptr_t)(ARENA_BYTES - 1));
}

/*
 * A span of @pages pages as a slab of nothing yet: base, page and pages are set. @small says
 * that the rest of a first page will do too. NULL: none is free, try arena_add().
 */
struct slab *span_take(struct arenas *a, unsigned pages, bool small);
/* Gives a span back. Result: an empty arena to drop with arena_drop() once unlocked, or NULL. */
struct arena *span_give(struct arenas *a, struct slab *slab) MUST_USE;
int arena_add(struct arenas *a) MUST_USE; /* 0, -ENOMEM */
void arena_drop(struct arena *arena);     /* accepts NULL */
/* The empty arena that is kept, if any: for arena_drop(). */
struct arena *arena_take_empty(struct arenas *a) MUST_USE;

static inline struct slab *slab_of(const void *p)
{
	struct arena *arena = arena_of(p);

	return &arena->slabs[arena->first[((uintptr_t)p & (ARENA_BYTES - 1)) / PAGE_SIZE]];
}

/* ---- account.c ---- */

#define OWNERS IFACE_SLOTS /* cell ids */
#define OWNER_NOBODY 0u /* the heap's own blocks: accounted like others, but in no total */
#define ACCOUNTS_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

/*
 * What one CPU did for one owner, bytes and objects in one number; only the sum over all CPUs
 * means something. Both have room for all that GATE_PHYS_MAX can hold.
 */
#define ACCOUNT_OBJECT (1ull << 34)
_Static_assert(GATE_PHYS_MAX < ACCOUNT_OBJECT &&
		       GATE_PHYS_MAX / 16 <= (1ull << 63) / ACCOUNT_OBJECT,
	       "more memory needs other accounts");

static inline uint64_t account_of_one(size_t bytes)
{
	return ACCOUNT_OBJECT + bytes;
}

struct blocks;

/* Makes sure that @owner has an account on every CPU. Result: 0, -ENOMEM. */
int account_prepare(struct blocks *b, uint32_t owner) MUST_USE;
/* The owner of something that lives, or one that was prepared. */
void account_add(struct blocks *b, uint32_t owner, uint64_t change);
/* Adds what all CPUs did for @owner. */
void account_sum(struct blocks *b, uint32_t owner, struct heap_stats *stats);
/* The same for all owners but OWNER_NOBODY. */
void account_sum_all(struct blocks *b, struct heap_stats *stats);

/* ---- block.c ---- */

/* Eight bytes before each block; so the last eight bytes of a span belong to the one behind. */
struct block_header {
	/* live: owner << 16 | bytes - 1, BLOCK_LARGE for a large one, whose region knows; free in
	   its slab: index of the next free */
	uint32_t what;
	uint32_t mark; /* whether it is live, mixed with the address; unused by unsafe builds */
};

#define BLOCK_HEADER sizeof(struct block_header)
#define BLOCK_LARGE 0xffffu
#define BLOCK_MAX HEAP_BLOCK_MAX

#define CLASSES 40u        /* strides of 16, 32 ... 128, then four to a doubling, to 32 KiB */
#define CLASSES_CACHED 21u /* strides to 1280, so that 1 KiB and its header fit */
#define CLASS_STRIDE_MAX 32768u
_Static_assert(CLASS_STRIDE_MAX <= BLOCK_LARGE, "a header has room for bytes - 1");
_Static_assert(OWNERS - 1 <= UINT16_MAX, "and for the owner");

#define DEPOT_MAX 8u

struct size_class {
	struct spinlock lock;
	uint32_t n_depot;
	struct slab *partial;   /* slabs with something free */
	void *depot[DEPOT_MAX]; /* full chains of free blocks, on their way from CPU to CPU */
};

/* Blocks that go between a cache and its class at once: up to 16 KiB. */
static inline unsigned chain_max(unsigned cls)
{
	return cls < 16 ? 32 : cls < 20 ? 16 : 8;
}

#define QUARANTINE 16u /* safe builds: blocks freed later that one waits for */

/*
 * Free blocks of one class, kept for one CPU: their addresses, in room of its own. They are not
 * linked through the blocks, so to take one is not to wait for memory, and who writes to a block
 * after its end does not mislead the heap.
 */
struct cache_list {
	void **ready; /* one behind the block that is taken next; below the oldest one lies a NULL
		       */
#if HEAP_CHECKS == CHECKS_SAFE
	void **waiting; /* >= ready: the oldest of those that were freed and are not ready */
	void **freed;   /* one behind the newest of these */
#endif
	void **end;     /* of the room */
	void **room;    /* a block without owner, or `nothing` */
	uint64_t bytes; /* of that block, with its header; 0: nothing */
};

struct cache {
	/* made for all CPUs when the first owner of a page turns up */
	uint64_t *accounts[OWNERS / ACCOUNTS_PER_PAGE];
	struct cache_list lists[CLASSES_CACHED];
} __attribute__((aligned(64)));

struct blocks {
	struct arenas arenas;
	uint32_t cpus;
	uint64_t large_pages; /* atomic */
	struct size_class classes[CLASSES];
	struct spinlock closing; /* of which cache each CPU uses; held over a gate call */
	bool keep_closed;
	struct cache closed; /* never anything in it */
	void *nothing;       /* NULL: all the room that an empty list has */
	struct cache caches[GATE_MAX_CPUS];
};

/* A free block out of a slab, which @owner has no account of; adds memory. NULL: none is left. */
void *block_take(struct blocks *b, unsigned cls);
void block_give(struct blocks *b, unsigned cls, void *p);

/* For heap.c: what is in no cache of this CPU, and what does not fit in there. */
void *alloc_slowly(struct blocks *b, size_t bytes, uint32_t owner);
void free_slowly(struct blocks *b, void *p);
/* The same for one of no cached class, whose canary was not looked at. */
void free_uncached(struct blocks *b, void *p);
void block_trim(struct blocks *b);

/*
 * PAGE_SIZE bytes, aligned to 8 (as any span they start and end with a block header's place),
 * contents undefined; NULL when memory is out.
 */
void *page_alloc(struct blocks *b);
void page_free(struct blocks *b, void *page);

/* ---- slab.c ---- */

#define CHAIN_FULL 0u /* chain_max() */

/*
 * Takes up to @n blocks of @cls, linked by link_of(); with CHAIN_FULL a full chain if the
 * depot has one. Adds no memory. Result: how many.
 */
unsigned class_take(struct blocks *b, unsigned cls, unsigned n, void **ret_chain) MUST_USE;
void class_give(struct blocks *b, unsigned cls, void *chain);
/* The same for a full chain, which the depot may keep. */
void class_give_full(struct blocks *b, unsigned cls, void *chain);
/* Empties the depot. */
void class_trim(struct blocks *b, unsigned cls);

/* ---- cache.c: classes below CLASSES_CACHED ---- */

void cache_init(struct blocks *b, unsigned cpus);
/* After cache_alloc() or cache_free() said no: makes the next one succeed, if it can. */
void cache_refill(struct blocks *b, unsigned cls);
void cache_shrink(struct blocks *b, unsigned cls);
/* Gives back what the caches of all CPUs and the depots hold. */
void cache_trim(struct blocks *b);
/* The same, and caches are not used any more until they are allowed again. */
void cache_keep_closed(struct blocks *b, bool closed);

/* This CPU, while masked, and what each CPU calls its cache. Unit tests say where they are. */
#if __STDC_HOSTED__
struct heap_cpu {
	void *cache;
	uint32_t inside; /* the section of cache.h; atomic */
};

unsigned heap_this_cpu(void);
struct heap_cpu *heap_cpu(unsigned cpu);

static inline void **heap_percpu(unsigned cpu)
{
	return &heap_cpu(cpu)->cache;
}
#else
static inline unsigned heap_this_cpu(void)
{
	return percpu_cpu();
}

static inline void **heap_percpu(unsigned cpu)
{
	return &percpu_of(cpu)->heap;
}
#endif

/* ---- heap.c ---- */

#define TYPES_MAX 256u

struct type;
struct owners;

struct types {
	struct spinlock lock; /* of making and ending types */
	uint32_t padding;
	uint64_t generation;           /* of the newest object; atomic */
	struct type *types[TYPES_MAX]; /* never freed, used again */
};

struct blocks *heap_blocks(void);
struct types *heap_types(void);
struct owners *heap_owners(void);

#endif
