/* SPDX-License-Identifier: MIT */
/* Gate calls over many pages. */
#include "internal.h"

#include <theseus/frames.h>
#include <theseus/trap.h>

#define TABLES_MAX 8u /* page tables that 512 consecutive pages may need, and a pair to spare */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int map_runs(const struct gate_run *runs, unsigned n, uint64_t *ret_done)
{
	unsigned tables = 0;

	*ret_done = 0;
	while (n > 0) {
		int64_t r;

		if (frames_fails())
			return -ENOMEM;
		r = gate_map(runs, n);
		if (r == -ENOMEM && tables++ < TABLES_MAX)
			r = frames_table();
		else if (r == 0)
			r = -EIO;
		if (r < 0)
			return (int)r;
		*ret_done += (uint64_t)r;
		for (; n > 0 && r > 0; runs++, n--)
			r -= runs->pages;
	}
	return 0;
}

/* Gives back frames that one page each was unmapped from: whole runs where they touch. */
static void return_adopted(const struct unmap_batch *b)
{
	for (unsigned i = 0; i < b->n;) {
		struct frame_run frames = {{b->runs[i].pa}, 1};

		if (!(b->adopted >> i++ & 1))
			continue;
		while (i < b->n && (b->adopted >> i & 1) &&
		       b->runs[i].pa == frames.start.v + frames.count * PAGE_SIZE) {
			frames.count++;
			i++;
		}
		if (frames_add(frames) < 0)
			TRAP("mapped: a page of the seed had no frame of ours");
	}
}

void unmap_flush(struct unmap_batch *b)
{
	if (b->n > 0 && gate_unmap(b->runs, b->n) != (int64_t)b->pages)
		TRAP("mapped: the gate knows no such pages");
	return_adopted(b);
	b->n = 0;
	b->pages = 0;
	b->adopted = 0;
}

void unmap_add(struct unmap_batch *b, uint64_t start, uint64_t pages, bool adopted)
{
	while (pages > 0) {
		uint64_t n = min_u64(pages, adopted ? 1 : GATE_PAGES_MAX - b->pages);

		b->adopted |= (uint32_t)adopted << b->n;
		b->runs[b->n++] = (struct gate_run){.va = start, .pages = (uint32_t)n};
		b->pages += n;
		start += n * PAGE_SIZE;
		pages -= n;
		if (b->n == BATCH || b->pages == GATE_PAGES_MAX)
			unmap_flush(b);
	}
}

void unmap_pages(uint64_t start, uint64_t pages)
{
	struct unmap_batch b = {.n = 0};

	unmap_add(&b, start, pages, false);
	unmap_flush(&b);
}

int protect_pages(uint64_t start, uint64_t pages, bool writable, uint64_t *ret_done)
{
	*ret_done = 0;
	while (*ret_done < pages) {
		struct gate_run run = {.va = start + *ret_done * PAGE_SIZE,
				       .flags = writable ? GATE_RUN_WRITE : 0};
		int64_t r;

		run.pages = (uint32_t)min_u64(pages - *ret_done, GATE_PAGES_MAX);
		r = gate_protect(&run, 1);
		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		*ret_done += (uint64_t)r;
	}
	return 0;
}

int batch_flush(struct batch *b)
{
	uint64_t done = 0;
	int r = b->n > 0 ? map_runs(b->runs, b->n, &done) : 0;

	b->mapped += done;
	b->n = 0;
	b->pages = 0;
	return r;
}

int batch_add(struct batch *b, uint64_t pa, uint64_t pages, uint32_t flags)
{
	while (pages > 0) {
		uint64_t n = min_u64(pages, GATE_PAGES_MAX - b->pages);
		struct gate_run *last = b->n > 0 ? &b->runs[b->n - 1] : NULL;

		if (last && last->pa + last->pages * (uint64_t)PAGE_SIZE == pa)
			last->pages += (uint32_t)n;
		else
			b->runs[b->n++] = (struct gate_run){b->va, pa, (uint32_t)n, flags};
		b->va += n * PAGE_SIZE;
		b->pages += n;
		pa += n * PAGE_SIZE;
		pages -= n;
		if (b->n == BATCH || b->pages == GATE_PAGES_MAX) {
			int r = batch_flush(b);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

void mapped_fence(void)
{
	struct gate_run run = {.va = (uintptr_t)extent_at(1) & ~(uint64_t)(PAGE_SIZE - 1),
			       .pages = 1,
			       .flags = GATE_RUN_WRITE};

	/* it is writable already: all that the call does is to make every CPU flush */
	if (gate_protect(&run, 1) != 1)
		TRAP("mapped: the gate does not know the first page of slots");
}
CELL_EXPORT(mapped_fence);
