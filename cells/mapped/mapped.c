/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <theseus/frames.h>
#include <theseus/ledger.h>
#include <theseus/trap.h>

#define REGION_MAX (1ull << 30)

CELL_INFO(.name = "mapped", .version = "1.0.0", .grants = GATE_GRANT_MEMORY, .safety = CELL_UNSAFE,
	  .unsafe_reason = "has the gate map frames, and turns addresses into views of regions",
	  .summary = "joins address space with frames: mapped regions");

/* ---- regions ---- */

/* Maps the frames of @n regions that follow each other. On failure nothing of them is mapped. */
static int map_frames(struct extent *first, unsigned n)
{
	struct batch b = {.va = body_start(first)};
	struct extent *e = first;
	int r = 0;

	for (unsigned i = 0; i < n && r >= 0; i++) {
		struct run_cursor c = runs_of(e);

		do {
			r = batch_add(&b, (uint64_t)c.run->frame << PAGE_SHIFT, c.run->count,
				      GATE_RUN_WRITE);
		} while (r >= 0 && run_next(&c));
		if (i + 1 < n)
			e = extent_at(e->next);
	}
	if (r >= 0)
		r = batch_flush(&b);
	if (r < 0)
		unmap_pages(body_start(first), b.mapped);
	return r;
}

static int map_device(struct extent *e, uint64_t pa)
{
	struct batch b = {.va = body_start(e)};
	int r;

	r = batch_add(&b, pa, e->pages, GATE_RUN_WRITE | GATE_RUN_DEVICE);
	if (r >= 0)
		r = batch_flush(&b);
	if (r < 0) {
		unmap_pages(body_start(e), b.mapped);
		return r == -ENOMEM ? r : -EPERM;
	}
	return 0;
}

/* What is asked for: @n regions side by side, of @pages together. */
struct wish {
	enum mapped_kind kind;
	uint64_t pages;
	uint64_t align;      /* pages */
	const size_t *bytes; /* of each, if n > 1 */
	unsigned n;
	bool raw;
};

/* Result: pages of a valid size, or 0. */
static uint64_t pages_of(size_t bytes)
{
	return bytes > REGION_MAX ? 0 : (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* Address space for what is asked for. Result: 0 and the first of n BUSY extents; -ENOMEM. */
static int regions_begin(const struct wish *w, uint32_t *ret_slot)
{
	bool guarded = w->kind == MAPPED_STACK;
	uint32_t slot;
	int r;

	if (frames_fails())
		return -ENOMEM;
	r = slots_lock_with(w->n + 1);
	if (r != 0)
		return -ENOMEM;
	r = extent_take(w->kind == MAPPED_CELL ? ARENA_WINDOW : ARENA_DYNAMIC,
			(uint32_t)w->pages + (guarded ? MAPPED_STACK_GUARD_PAGES + 1 : 0),
			guarded ? EXTENT_GUARDED : 0, w->align, &slot);
	if (r >= 0) {
		*ret_slot = slot;
		extent_at(slot)->kind = (uint8_t)w->kind;
		for (unsigned i = 0; i + 1 < w->n; i++)
			slot = extent_split(slot, (uint32_t)pages_of(w->bytes[i]));
	}
	slots_unlock();
	return r;
}

static struct mapped region_publish(uint32_t slot)
{
	struct extent *e = extent_at(slot);
	struct mapped region = {slot, e->generation};

	slots_lock();
	e->use = EXTENT_LIVE;
	extent_stats()->regions++;
	extent_stats()->pages += body_pages(e);
	slots_unlock();
	return region;
}

/* Undoes regions_begin() and gives back the frames that the extents got since. */
static void regions_cancel(uint32_t slot, unsigned n)
{
	while (n-- > 0) {
		uint32_t next = extent_at(slot)->next;

		give_frames(extent_at(slot));
		slots_lock();
		extent_give(slot);
		slots_unlock();
		slot = next;
	}
}

static int regions_create(const struct wish *w, struct mapped *ret_regions)
{
	LEDGER_WHOLE();
	struct extent *first, *e;
	uint32_t slot;
	int r;

	r = regions_begin(w, &slot);
	if (r < 0)
		return r;
	first = extent_at(slot);
	e = first;
	for (unsigned i = 0; i < w->n && r >= 0; i++, e = extent_at(e->next))
		r = take_frames(e, body_pages(e), w->kind == MAPPED_DMA);
	if (r >= 0)
		r = map_frames(first, w->n);
	if (r < 0) {
		regions_cancel(slot, w->n);
		return r;
	}
	if (!w->raw)
		memset((void *)(uintptr_t)body_start(first), 0, w->pages * PAGE_SIZE);
	for (unsigned i = 0; i < w->n; i++) {
		uint32_t next = extent_at(slot)->next;

		ret_regions[i] = region_publish(slot);
		slot = next;
	}
	return 0;
}

int mapped_create(enum mapped_kind kind, size_t bytes, struct mapped *ret_region)
{
	const struct wish w = {kind, pages_of(bytes), 1, NULL, 1, false};

	if (kind < MAPPED_DATA || kind > MAPPED_DMA || w.pages == 0)
		return -EINVAL;
	return regions_create(&w, ret_region);
}
CELL_EXPORT(mapped_create);

int mapped_create_raw(size_t bytes, size_t align, struct mapped *ret_region)
{
	const struct wish w = {MAPPED_DATA, pages_of(bytes), align / PAGE_SIZE, NULL, 1, true};

	if (w.pages == 0 || align < PAGE_SIZE || align > REGION_MAX || (align & (align - 1)) != 0)
		return -EINVAL;
	return regions_create(&w, ret_region);
}
CELL_EXPORT(mapped_create_raw);

int mapped_create_many(enum mapped_kind kind, unsigned n, const size_t *bytes,
		       struct mapped *ret_regions)
{
	struct wish w = {kind, 0, 1, bytes, n, false};

	if ((kind != MAPPED_DATA && kind != MAPPED_CELL) || n > MAPPED_MANY_MAX)
		return -EINVAL;
	if (n == 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		if (pages_of(bytes[i]) == 0)
			return -EINVAL;
		w.pages += pages_of(bytes[i]);
	}
	if (w.pages > REGION_MAX / PAGE_SIZE)
		return -EINVAL;
	return regions_create(&w, ret_regions);
}
CELL_EXPORT(mapped_create_many);

int mapped_create_device(paddr_t pa, size_t bytes, struct mapped *ret_region)
{
	LEDGER_WHOLE();
	const struct wish w = {MAPPED_DEVICE, pages_of(bytes), 1, NULL, 1, false};
	uint64_t end;
	uint32_t slot;
	int r;

	if (w.pages == 0 || pa.v % PAGE_SIZE != 0 ||
	    __builtin_add_overflow(pa.v, w.pages * PAGE_SIZE, &end))
		return -EINVAL;
	r = regions_begin(&w, &slot);
	if (r < 0)
		return r;
	r = map_device(extent_at(slot), pa.v);
	if (r < 0) {
		regions_cancel(slot, 1);
		return r;
	}
	*ret_region = region_publish(slot);
	return 0;
}
CELL_EXPORT(mapped_create_device);

int mapped_adopt(enum mapped_kind kind, vaddr_t start, size_t bytes, struct mapped *ret_region)
{
	uint64_t pages = pages_of(bytes);
	uint32_t slot;
	int r;

	if ((kind != MAPPED_DATA && kind != MAPPED_STACK && kind != MAPPED_CELL) || pages == 0 ||
	    start.v % PAGE_SIZE != 0 || start.v > GATE_DYNAMIC_END)
		return -EINVAL;
	r = slots_lock_with(2);
	if (r != 0)
		return r;
	r = extent_cut_seed(start.v, (uint32_t)pages, &slot);
	if (r >= 0)
		extent_at(slot)->kind = (uint8_t)kind;
	slots_unlock();
	if (r < 0)
		return r;
	*ret_region = region_publish(slot);
	return 0;
}
CELL_EXPORT(mapped_adopt);

/*
 * Takes a live region out of use, so that this caller alone changes it. With @drop its
 * handle is stale from here on. Result: its extent; NULL if @region is stale already.
 */
static struct extent *region_busy(struct mapped region, bool drop)
{
	struct extent *e;

	slots_lock();
	e = extent_find(region.slot);
	if (e && (e->use != EXTENT_LIVE || e->generation != region.generation))
		e = NULL;
	if (e)
		e->use = EXTENT_BUSY;
	if (e && drop) {
		uint32_t next = e->generation == UINT32_MAX ? 1 : e->generation + 1;

		__atomic_store_n(&e->generation, next, __ATOMIC_RELEASE);
		extent_unbind(e);
		extent_stats()->regions--;
		extent_stats()->pages -= body_pages(e);
	}
	if (!e && drop)
		extent_stats()->refused++;
	slots_unlock();
	return e;
}

/* Gives frames and addresses of an unmapped region back. */
static void region_end(uint32_t slot)
{
	struct extent *e = extent_at(slot);

	if (!(e->flags & EXTENT_ADOPTED))
		give_frames(e);
	slots_lock();
	extent_give(slot);
	slots_unlock();
}

void mapped_drop_many(struct mapped *regions, unsigned n)
{
	LEDGER_WHOLE();
	struct unmap_batch b = {.n = 0};

	for (unsigned i = 0; i < n; i++) {
		struct extent *e = NULL;

		if (regions[i].generation != 0)
			e = region_busy(regions[i], true);
		if (e)
			unmap_add(&b, body_start(e), body_pages(e), e->flags & EXTENT_ADOPTED);
		else
			regions[i].generation = 0;
	}
	unmap_flush(&b);
	for (unsigned i = 0; i < n; i++) {
		struct mapped gone = TAKE(regions[i]);

		if (gone.generation != 0)
			region_end(gone.slot);
	}
}
CELL_EXPORT(mapped_drop_many);

void mapped_drop(struct mapped *region)
{
	mapped_drop_many(region, 1);
}
CELL_EXPORT(mapped_drop);

int mapped_protect(struct mapped region, bool writable)
{
	LEDGER_WHOLE();
	struct extent *e = region_busy(region, false);
	uint64_t done, undone;
	bool doomed;
	int r = -EINVAL;

	if (!e)
		return -ESTALE;
	if (e->kind == MAPPED_DATA) {
		r = protect_pages(body_start(e), body_pages(e), writable, &done);
		if (r < 0 && protect_pages(body_start(e), done, !writable, &undone) < 0)
			TRAP("mapped: the gate takes a protection back that it gave");
	}
	slots_lock();
	e->use = EXTENT_LIVE;
	doomed = e->flags & EXTENT_DOOMED;
	slots_unlock();
	if (doomed)
		mapped_drop(&region);
	return r;
}
CELL_EXPORT(mapped_protect);

static int mapped_init(const struct cell_boot *boot)
{
	return boot->seed ? extents_init(boot->seed) : -EINVAL;
}

CELL_PROVIDE(cell_ops, mapped) = {.init = mapped_init};
