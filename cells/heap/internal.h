/* SPDX-License-Identifier: MIT */
/*
 * Layers of the heap, bottom up:
 *   arena.c    64 KiB regions of `mapped`, cut into spans of pages
 *   block.c    blocks in slabs (a span of one size class), cached per CPU; large ones alone;
 *              each is accounted to an owner
 *   account.c  what each CPU did for each owner
 *   heap.c     the state, and the public plain heap
 *   object.h   typed objects
 *
 * Locks, outermost first: of all types, of a type, of the objects of a task, of a class, of
 * the arenas. No gate call is made under one: regions are made and dropped when all are
 * released. Caches and accounts belong to a CPU and are used masked.
 */
#ifndef HEAP_INTERNAL_H
#define HEAP_INTERNAL_H

#include <theseus/heap.h>
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

/* ---- account.c ---- */

#define OWNERS 4096u    /* cell ids */
#define OWNER_NOBODY 0u /* the heap's own blocks: accounted like others, but in no total */
#define ACCOUNTS_PER_PAGE (PAGE_SIZE / 16u)

/* What one CPU did for one owner; only the sum over all CPUs means something. */
struct account {
	int64_t bytes, objects;
};
_Static_assert(sizeof(struct account) == 16, "ACCOUNTS_PER_PAGE");

/* Pages of accounts, made for all CPUs when the first of their owners turns up. */
struct accounts {
	uint32_t cpus;
	struct account *pages[OWNERS / ACCOUNTS_PER_PAGE][GATE_MAX_CPUS];
};

/* Of @cpu. NULL if account_prepare() was never called for @owner. */
static inline struct account *account_of(struct accounts *a, unsigned cpu, uint32_t owner)
{
	struct account *page =
		__atomic_load_n(&a->pages[owner / ACCOUNTS_PER_PAGE][cpu], __ATOMIC_ACQUIRE);

	return page ? page + owner % ACCOUNTS_PER_PAGE : NULL;
}

/* The same for the owner of something that lives: it was called. */
static inline struct account *account_there(struct accounts *a, unsigned cpu, uint32_t owner)
{
	return a->pages[owner / ACCOUNTS_PER_PAGE][cpu] + owner % ACCOUNTS_PER_PAGE;
}

/* The caller is on the account's CPU, masked. */
static inline void account_change(struct account *a, int64_t bytes, int64_t objects)
{
	a->bytes += bytes;
	a->objects += objects;
}

struct blocks;

/* Makes sure that @owner has an account on every CPU. Result: 0, -ENOMEM. */
int account_prepare(struct blocks *b, uint32_t owner) MUST_USE;
void account_add(struct blocks *b, uint32_t owner, int64_t bytes, int64_t objects);
/* Adds what all CPUs did for @owner. */
void account_sum(struct blocks *b, uint32_t owner, struct heap_stats *stats);

/* ---- block.c ---- */

/* Eight bytes before each block; so the last eight bytes of a span belong to the one behind. */
struct block_header {
	uint32_t what; /* live: owner << 20 | bytes - 1; free in its slab: index of the next free */
	uint32_t mark; /* whether it is live, mixed with the address; unused by unsafe builds */
};

#define BLOCK_HEADER sizeof(struct block_header)
#define BLOCK_MAX (1u << 20)

#define CLASSES 40u        /* strides of 16, 32 ... 128, then four to a doubling, to 32 KiB */
#define CLASSES_CACHED 21u /* strides to 1280, so that 1 KiB and its header fit */
#define CLASS_STRIDE_MAX 32768u

struct size_class {
	struct spinlock lock;
	uint32_t padding;
	struct slab *partial; /* slabs with something free */
};

/* Free blocks of one class, kept for one CPU: first in, first out in safe builds. */
struct cache_list {
	void *head, *tail;
	uint32_t count;
};

struct cache {
	struct cache_list lists[CLASSES_CACHED];
} __attribute__((aligned(64)));

struct blocks {
	struct arenas arenas;
	struct accounts accounts;
	uint64_t large_pages; /* atomic */
	struct size_class classes[CLASSES];
	struct cache caches[GATE_MAX_CPUS];
};

/* @bytes 1..BLOCK_MAX, @owner < OWNERS. NULL when memory is out. */
void *block_alloc(struct blocks *b, size_t bytes, uint32_t owner);
/* Fails as heap_free() says. Not NULL. */
void block_free(struct blocks *b, void *p);
void block_trim(struct blocks *b);

/*
 * PAGE_SIZE bytes, aligned to 8 (as any span they start and end with a block header's place),
 * contents undefined; NULL when memory is out.
 */
void *page_alloc(struct blocks *b);
void page_free(struct blocks *b, void *page);

/* This CPU, while masked. Unit tests say where they are. */
#if __STDC_HOSTED__
unsigned heap_this_cpu(void);
#else
static inline unsigned heap_this_cpu(void)
{
	return percpu_cpu();
}
#endif

/* ---- heap.c: the state ---- */

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
