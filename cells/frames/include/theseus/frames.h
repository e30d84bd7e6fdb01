/* SPDX-License-Identifier: MIT */
/*
 * Physical frames: who may map what. The gate only knows whether a frame is in use; which
 * free frame to use is decided here.
 * Context: any task or interrupt handler; masks upcalls shortly; never blocks.
 */
#ifndef THESEUS_FRAMES_H
#define THESEUS_FRAMES_H

#include <theseus/types.h>

struct frames_stats {
	uint64_t total; /* frames that cells may use */
	uint64_t used;
	uint64_t tables; /* of those: page tables, which the gate keeps for good */
	uint64_t peak;
};

/*
 * Takes @count consecutive frames whose start is a multiple of @align frames (a power of
 * two). Contents are undefined. Result: 0, -ENOMEM, -EINVAL.
 */
int frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run) MUST_USE;

/*
 * Gives a run (or a part of one) back; it must be unmapped. Consumed: *run becomes none;
 * accepts none. Frames that are not in use are a fault of the caller's task (theseus/trap.h).
 */
void frames_free(struct frame_run *run);

/*
 * Gives the gate a page table: one frame, taken here. Result: 0, -ENOMEM; another -errno from
 * the gate.
 */
int frames_table(void) MUST_USE;

/*
 * Adds RAM that became free, e.g. the seed's or the boot bundle's: new frames, or frames
 * that were in use since boot. Result: 0; -EINVAL (not page-aligned, or not RAM that the
 * boot record names); -EEXIST (free already); -ENOMEM (too many pieces).
 */
int frames_add(struct frame_run run) MUST_USE;

/*
 * heap_fail_nth() without the heap: whoever allocates asks frames_fails() first, and gives up
 * if that says so.
 */
bool frames_fail_nth(uint64_t nth);
bool frames_fails(void);

/*
 * End of the dynamic addresses in use when init returned: the seed's, then the frames'
 * own tables. For `mapped`, which hands out what follows.
 */
vaddr_t frames_dynamic_next(void);

void frames_stats(struct frames_stats *ret_stats);

#endif
