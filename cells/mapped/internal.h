/* SPDX-License-Identifier: MIT */
/*
 * The parts of `mapped`, bottom up: extent.c divides address space, pages.c calls the gate,
 * runs.c keeps the frames of a region, mapped.c makes and drops regions, view.c answers what
 * is in one, owner.c knows which go with which task.
 *
 * Address space is a list of extents in address order that covers each arena without gaps.
 * An extent is a slot of one growing table, and a region's handle names that slot. Splitting
 * takes a slot, so slots are made sure of before anything else is begun; giving back never
 * needs one.
 *
 * One lock guards the table and the lists. It is not held over gate calls that make or drop
 * regions: their extent is EXTENT_BUSY meanwhile and belongs to whoever made it so.
 */
#ifndef MAPPED_INTERNAL_H
#define MAPPED_INTERNAL_H

#include <theseus/cell.h>
#include <theseus/gate-call.h>
#include <theseus/handoff.h>
#include <theseus/mapped.h>
#include <theseus/spinlock.h>

enum extent_use {
	EXTENT_NONE = 0,   /* free slot */
	EXTENT_FREE,       /* address space that nobody has */
	EXTENT_SEED,       /* mapped by the seed; mapped_adopt() cuts regions out of it */
	EXTENT_RESERVED,   /* this cell's own tables, and what the contract keeps out */
	EXTENT_BUSY,       /* a region that is being made, changed or dropped */
	EXTENT_LIVE,       /* a region */
	EXTENT_RUNS,       /* not address space: more frames of a region */
};

/* Consecutive frames by number; gate_phys_max keeps both in 32 bits. */
struct run {
	uint32_t frame, count;
};
_Static_assert(GATE_PHYS_MAX >> PAGE_SHIFT <= UINT32_MAX, "frame numbers");
_Static_assert((GATE_DYNAMIC_END - GATE_DYNAMIC) >> PAGE_SHIFT <= UINT32_MAX, "page counts");

#define EXTENT_GUARDED 1u /* MAPPED_STACK_GUARD_PAGES first and one last page stay unmapped */
#define EXTENT_ADOPTED 2u /* mapped by the seed: the gate knows the frames, runs are empty */

#define EXTENT_DOOMED 4u /* its task ended while it was BUSY: who made it so drops it */

#define EXTENT_RUNS_INLINE 2u
#define EXTENT_RUNS_MORE 6u

struct extent {
	uint32_t generation; /* of the handle that names this slot; never 0 */
	uint8_t use;         /* enum extent_use */
	uint8_t kind;        /* enum mapped_kind */
	uint8_t arena;       /* enum arena_id */
	uint8_t flags;       /* EXTENT_GUARDED and so on */
	uint32_t prev, next; /* neighbours by address; next also chains free slots and run slots */
	union {
		struct {
			uint64_t start; /* address, guards included */
			uint32_t pages; /* guards included */
			uint32_t more;  /* slot with more runs */
			uint64_t task;  /* whose region it is; 0 = nobody's */
			struct {
				uint32_t prev, next; /* regions of the same task: owner.c */
			} owned;
			union {
				struct run runs[EXTENT_RUNS_INLINE]; /* unused: count 0 */
				struct {
					uint32_t prev, next;
				} bin; /* EXTENT_FREE */
			};
		};
		struct run list[EXTENT_RUNS_MORE]; /* EXTENT_RUNS */
	};
};
_Static_assert(sizeof(struct extent) == 64, "a page holds SLOTS_PER_PAGE");

#define SLOTS_PER_PAGE 64u
#define CHUNKS_MAX 16u /* chunk k has 2^k pages of slots: 4 million in all */

enum arena_id {
	ARENA_DYNAMIC = 0,
	ARENA_WINDOW = 1,
	_ARENA_MAX,
};

#define BIN_CLASSES 28u /* floor(log2(pages)) up to 29 */
#define BIN_STEPS 8u    /* each divided in eight */

/* Free extents by size, so that one of a size or the next better is found at once. */
struct arena {
	uint32_t classes; /* bit: a step of this class is not empty */
	uint8_t steps[BIN_CLASSES];
	uint32_t head[BIN_CLASSES][BIN_STEPS];
};

#define TASK_LISTS 4096u

SPINLOCK_ROLE(mapped_slots);

struct mapped_state {
	struct spinlock lock; /* mapped_slots */
	struct spinlock
		growing; /* taken before lock; held over the gate calls that grow the table */
	struct extent *chunk[CHUNKS_MAX];
	uint32_t n_slots; /* that exist; slot 0 is never used */
	uint32_t n_free;
	uint32_t free_slot GUARDED_BY(mapped_slots);
	struct arena arenas[_ARENA_MAX] GUARDED_BY(mapped_slots);
	struct mapped_stats stats GUARDED_BY(mapped_slots);
	/* first region of tasks with equal low bits */
	uint32_t owned[TASK_LISTS] GUARDED_BY(mapped_slots);
};

/* ---- extent.c ---- */

/* The record of a slot that exists; what else a slot's number is taken from says so. */
struct extent *extent_at(uint32_t slot) __attribute__((returns_nonnull));
struct extent *extent_find(uint32_t slot); /* any number, any context: NULL if there is none */

void slots_lock(void) ACQUIRES(mapped_slots);
void slots_unlock(void) RELEASES(mapped_slots);

/*
 * slots_lock() with at least @n free slots besides those that growth itself may need.
 * Result: 0; -ENOMEM, and the lock is not held.
 */
int slots_lock_with(uint32_t n) MUST_USE TRY_ACQUIRES(0, mapped_slots);

int extents_init(const struct seed_handoff *seed) MUST_USE;

/* The rest is called with the lock held. */

uint32_t slot_take(void) REQUIRES(mapped_slots); /* one that slots_lock_with() made sure of */
void slot_give(uint32_t slot) REQUIRES(mapped_slots);

struct mapped_stats *extent_stats(void) REQUIRES(mapped_slots);
uint32_t *extent_owned(uint64_t task); /* where to look, lock or not */

/*
 * Cuts @pages out of free space, such that the first page after a guard page (if @flags say
 * so) has an address that is a multiple of @align pages. Needs two slots.
 * Result: 0 and a BUSY extent, or -ENOMEM.
 */
int extent_take(enum arena_id arena, uint32_t pages, unsigned flags, uint64_t align,
		uint32_t *ret_slot) MUST_USE REQUIRES(mapped_slots);

/* Cuts the extent in two at @pages. Result: the second one, with the use of the first. */
uint32_t extent_split(uint32_t slot, uint32_t pages) REQUIRES(mapped_slots);

/* Cuts [start, start + pages) out of a SEED extent; needs two slots. Result: 0, -EINVAL. */
int extent_cut_seed(uint64_t start, uint32_t pages, uint32_t *ret_slot) MUST_USE
	REQUIRES(mapped_slots);

/* Gives address space back, joined with free neighbours. */
void extent_give(uint32_t slot) REQUIRES(mapped_slots);

/* ---- owner.c ---- */

/* With the lock held; nothing if the region belongs to no task. */
void extent_unbind(struct extent *e) REQUIRES(mapped_slots);

static inline uint64_t body_start(const struct extent *e)
{
	return e->start + (e->flags & EXTENT_GUARDED ? MAPPED_STACK_GUARD_PAGES * PAGE_SIZE : 0);
}

static inline uint64_t body_pages(const struct extent *e)
{
	return e->pages - (e->flags & EXTENT_GUARDED ? MAPPED_STACK_GUARD_PAGES + 1 : 0);
}

/* ---- pages.c ---- */

/*
 * Maps @n runs of pages and gives the gate the page tables it asks for. *ret_done says how
 * many pages are mapped, on failure too. Result: 0, -errno.
 */
int map_runs(const struct gate_run *runs, unsigned n, uint64_t *ret_done) MUST_USE;
/* Result: 0, -errno; *ret_done says how many pages are changed. */
int protect_pages(uint64_t start, uint64_t pages, bool writable, uint64_t *ret_done) MUST_USE;
void unmap_pages(uint64_t start, uint64_t pages);

#define BATCH 32u /* runs in one gate call: they lie on the stack meanwhile */

/* Pages on their way in, at consecutive addresses. */
struct batch {
	struct gate_run runs[BATCH];
	unsigned n;
	uint64_t va;     /* of the next page */
	uint64_t pages;  /* in runs */
	uint64_t mapped; /* done by earlier calls */
};

/* Result: 0, or -errno: what is mapped by now is in b->mapped. */
int batch_add(struct batch *b, uint64_t pa, uint64_t pages, uint32_t flags) MUST_USE;
int batch_flush(struct batch *b) MUST_USE;

/* Pages on their way out. They are mapped, so unmapping cannot fail. */
struct unmap_batch {
	struct gate_run runs[BATCH];
	unsigned n;
	uint64_t pages;   /* in runs */
	uint32_t adopted; /* a bit a run: one page, whose frame only the gate knows */
};

void unmap_add(struct unmap_batch *b, uint64_t start, uint64_t pages, bool adopted);
void unmap_flush(struct unmap_batch *b);

/* ---- runs.c ---- */

/* Walks the runs of a region, those in further slots included. */
struct run_cursor {
	struct run *run;
	unsigned left; /* in this slot, run included */
	uint32_t more; /* slot that follows */
};

struct run_cursor runs_of(struct extent *e);
bool run_next(struct run_cursor *c);

/* Takes frames for @pages: in as few runs as there are, in one if @contiguous. */
int take_frames(struct extent *e, uint64_t pages, bool contiguous) MUST_USE;
/* Returns all frames and the slots that held their runs. */
void give_frames(struct extent *e);

#endif
