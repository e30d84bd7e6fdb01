/* SPDX-License-Identifier: MIT */
/*
 * Mapped regions: owned handles that join virtual pages with physical frames.
 *
 * A region has bounds, a protection and a kind; memory is reached through views that are
 * checked against them. Dropping a region unmaps it (on return no CPU can reach it) and
 * gives pages and frames back. No address is handed out without a region that covers it.
 * What stays for later use: 64 bytes for each of the most regions that ever lived at once, and
 * the page tables of the addresses that they took up, which are the first ones to be used again.
 * Context: tasks, and interrupt handlers for views only; create and drop may take long
 * (TLB shootdown) but do not block on other tasks. A task that the ledger ends meanwhile is let
 * on to their end: when a call has begun, *ret_region is set and *region taken.
 */
#ifndef THESEUS_MAPPED_H
#define THESEUS_MAPPED_H

#include <theseus/types.h>

enum mapped_kind {
	MAPPED_DATA = 1, /* zeroed, read-write */
	MAPPED_STACK,    /* the same, between guard pages that stay unmapped */
	MAPPED_CELL, /* in the cell window, zeroed, read-write until the loader seals parts of it */
	MAPPED_DMA,  /* zeroed, physically contiguous; its physical address may be asked for */
	MAPPED_DEVICE, /* device memory, uncached */
	_MAPPED_KIND_MAX,
	_MAPPED_KIND_INVALID = -22,
};

/*
 * Below a stack, above it is one. The upcall cell maps all but the lowest for a while when a
 * stack has overflowed, and the highest when an interrupt found no room.
 */
#define MAPPED_STACK_GUARD_PAGES 7u

/* Owned handle of a region. {0} is none. */
struct mapped {
	uint32_t slot;
	uint32_t generation;
	OWNERSHIP_TOKEN
};

struct mapped_info {
	enum mapped_kind kind;
	vaddr_t start;
	size_t bytes; /* without guard pages */
};

struct mapped_stats {
	uint64_t regions;
	uint64_t pages;             /* mapped for all regions, guard pages not counted */
	uint64_t own_pages;         /* of this cell's records of regions; never given back */
	uint64_t refused;           /* drops of a stale handle: each is somebody's mistake */
};

/*
 * Any kind but MAPPED_DEVICE. @bytes is rounded up to pages, 1..1 GiB.
 * Result: 0, -ENOMEM, -EINVAL.
 */
int mapped_create(enum mapped_kind kind, size_t bytes, struct mapped *ret_region) MUST_USE;

/*
 * A DATA region whose contents are undefined, at a multiple of @align: a power of two,
 * PAGE_SIZE..1 GiB. For who writes it before reading; pages that nobody touches cost less.
 */
int mapped_create_raw(size_t bytes, size_t align, struct mapped *ret_region) MUST_USE;

#define MAPPED_MANY_MAX 256u

/*
 * @n regions of kind MAPPED_DATA or MAPPED_CELL at once, side by side, all or none, with as
 * few gate calls as their pages need: what loads a bundle makes dozens.
 * Result: 0, -ENOMEM, -EINVAL.
 */
int mapped_create_many(enum mapped_kind kind, unsigned n, const size_t *bytes,
		       struct mapped *ret_regions) MUST_USE;

/* @pa page-aligned, not RAM. Result: 0, -EINVAL, -EPERM (the gate refuses the frames), -ENOMEM. */
CELL_UNSAFE_CALL(device) int mapped_create_device(paddr_t pa, size_t bytes, struct mapped *ret_region) MUST_USE;

/*
 * Consumes: *region becomes none; accepts none. Usable with OWNED(). A stale handle is
 * refused: nothing happens but that mapped_stats counts it.
 */
void mapped_drop(struct mapped *region);

/* Drops @n regions, none included, with one TLB shootdown for many. Consumes all. */
void mapped_drop_many(struct mapped *regions, unsigned n);

/*
 * The region belongs to @task (task_id(); 0: to nobody, as at first) and is dropped when that
 * task ends; the owner may drop it before. For regions whose only handle is on that task's
 * stack or in its objects: made and bound within one LEDGER_WHOLE() (theseus/ledger.h), none is
 * lost whenever the task is ended. A task that has ended already takes nothing with it.
 * Result: 0, -ESTALE.
 */
int mapped_bind(struct mapped region, uint64_t task) MUST_USE;

/*
 * Makes a data region read-only or read-write again. Result: 0; -EINVAL (kind), -ESTALE;
 * another -errno from the gate, with the protection as it was.
 */
int mapped_protect(struct mapped region, bool writable) MUST_USE;

/*
 * Address of @len bytes at @offset, aligned to @align (a power of two): borrowed, valid
 * until the region is dropped. Result: 0, -ERANGE, -EINVAL (alignment), -ESTALE.
 */
int mapped_view(struct mapped region, size_t offset, size_t len, size_t align,
		void **ret_view) MUST_USE;

/* Typed view: pointer to `count` objects of `type` at byte `offset`, or NULL. */
#define MAPPED_VIEW(type, region, offset, count)                                                   \
	__extension__({                                                                            \
		void *mapped_view_ = NULL;                                                         \
		size_t mapped_len_;                                                                \
		if (__builtin_mul_overflow(sizeof(type), (size_t)(count), &mapped_len_) ||         \
		    mapped_view((region), (offset), mapped_len_, _Alignof(type), &mapped_view_) <  \
			    0)                                                                     \
			mapped_view_ = NULL;                                                       \
		(type *)mapped_view_;                                                              \
	})

/* Physical address of @offset of a DMA region. Result: 0, -EINVAL (kind), -ERANGE, -ESTALE. */
CELL_UNSAFE_CALL(device) int mapped_phys(struct mapped region, size_t offset, paddr_t *ret_pa) MUST_USE;

/*
 * On return every CPU that runs cells has been in the gate since the call: what it wrote
 * before is seen, and what it reads from then on was not read earlier.
 */
void mapped_fence(void);

int mapped_info(struct mapped region, struct mapped_info *ret_info) MUST_USE;
void mapped_stats(struct mapped_stats *ret_stats);

/*
 * Turns pages that the seed mapped into a region, so that they can be dropped like any
 * other. Boot only (the loader). Result: 0, -EINVAL (not mapped by the seed), -ENOMEM.
 */
CELL_UNSAFE_CALL(machine) int mapped_adopt(enum mapped_kind kind, vaddr_t start, size_t bytes,
		 struct mapped *ret_region) MUST_USE;

#endif
