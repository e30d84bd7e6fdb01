/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <theseus/frames.h>
#include <theseus/trap.h>

#define REGION_MAX (1ull << 30)
#define BATCH 32u     /* runs in one gate call: they lie on the stack meanwhile */
#define TABLES_MAX 8u /* page tables that 512 consecutive pages may need, and a pair to spare */

CELL_INFO(.name = "mapped", .version = "1.0.0", .grants = GATE_GRANT_MEMORY,
	  .safety = CELL_UNSAFE, .summary = "joins address space with frames: mapped regions");

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- gate calls over many pages ---- */

static int give_table(void)
{
	struct frame_run frame;
	int64_t r;

	r = frames_alloc(1, 1, &frame);
	if (r < 0)
		return (int)r;
	r = gate_table(frame.start.v);
	if (r < 0)
		frames_free(&frame);
	return (int)r;
}

int map_runs(const struct gate_run *runs, unsigned n, uint64_t *ret_done)
{
	unsigned tables = 0;

	*ret_done = 0;
	while (n > 0) {
		int64_t r = gate_map(runs, n);

		if (r == -ENOMEM && tables++ < TABLES_MAX)
			r = give_table();
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

/* Makes [start, start + pages) unreachable; the pages are mapped, so it cannot fail. */
static void unmap_pages(uint64_t start, uint64_t pages)
{
	while (pages > 0) {
		struct gate_run run = {.va = start};

		run.pages = (uint32_t)min_u64(pages, GATE_PAGES_MAX);
		if (gate_unmap(&run, 1) != run.pages)
			TRAP("mapped: the gate knows no such pages");
		start += (uint64_t)run.pages * PAGE_SIZE;
		pages -= run.pages;
	}
}

/* Gives back what one page-sized run each was unmapped from: whole runs where they touch. */
static void return_frames(const struct gate_run *runs, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		struct frame_run frames = {{runs[i].pa}, 1};

		for (i++; i < n && runs[i].pa == frames.start.v + frames.count * PAGE_SIZE; i++)
			frames.count++;
		if (frames_add(frames) < 0)
			TRAP("mapped: a page of the seed had no frame of ours");
	}
}

/* Unmaps pages whose frames only the gate knows, and returns those. */
static void unmap_adopted(uint64_t start, uint64_t pages)
{
	while (pages > 0) {
		struct gate_run runs[BATCH];
		unsigned n = (unsigned)min_u64(pages, BATCH);

		for (unsigned i = 0; i < n; i++, start += PAGE_SIZE)
			runs[i] = (struct gate_run){.va = start, .pages = 1};
		if (gate_unmap(runs, n) != n)
			TRAP("mapped: the gate knows no such pages");
		return_frames(runs, n);
		pages -= n;
	}
}

static int protect_pages(uint64_t start, uint64_t pages, bool writable, uint64_t *ret_done)
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

/* ---- the frames of a region ---- */

/* Walks the runs of a region, those in further slots included. */
struct run_cursor {
	struct run *run;
	unsigned left; /* in this slot, run included */
	uint32_t more; /* slot that follows */
};

static struct run_cursor runs_of(struct extent *e)
{
	return (struct run_cursor){e->runs, EXTENT_RUNS_INLINE, e->more};
}

static bool run_next(struct run_cursor *c)
{
	struct extent *e;

	if (c->left > 1) {
		c->run++;
		c->left--;
		return true;
	}
	if (!c->more)
		return false;
	e = extent_at(c->more);
	*c = (struct run_cursor){e->list, EXTENT_RUNS_MORE, e->next};
	return true;
}

/* Where the next run of a region that is being made goes. */
struct run_tail {
	uint32_t *more; /* link to the slot that follows the last one */
	struct run_cursor at;
};

static int tail_grow(struct run_tail *t)
{
	struct extent *e;
	uint32_t slot;
	int r;

	r = slots_lock_with(1);
	if (r < 0)
		return r;
	slot = slot_take();
	slots_unlock();
	e = extent_at(slot);
	e->use = EXTENT_RUNS;
	e->next = 0;
	memset(e->list, 0, sizeof(e->list));
	*t->more = slot;
	t->more = &e->next;
	t->at = (struct run_cursor){e->list, EXTENT_RUNS_MORE, 0};
	return 0;
}

static int tail_append(struct run_tail *t, struct frame_run frames)
{
	struct run run = {(uint32_t)(frames.start.v >> PAGE_SHIFT), (uint32_t)frames.count};

	if (t->at.run->count > 0 && !run_next(&t->at)) {
		int r = tail_grow(t);

		if (r < 0)
			return r;
	}
	*t->at.run = run;
	return 0;
}

/* Takes frames for @pages: in as few runs as there are, in one if @contiguous. */
static int take_frames(struct extent *e, uint64_t pages, bool contiguous)
{
	struct run_tail tail = {&e->more, runs_of(e)};
	uint64_t want = pages;

	while (pages > 0) {
		struct frame_run frames;
		int r = frames_alloc(want, 1, &frames);

		if (r == -ENOMEM && want > 1 && !contiguous) {
			want = (want + 1) / 2;
			continue;
		}
		if (r < 0)
			return r;
		r = tail_append(&tail, frames);
		if (r < 0) {
			frames_free(&frames);
			return r;
		}
		pages -= want;
		want = min_u64(want, pages);
	}
	return 0;
}

/* Returns all frames and the slots that held their runs. */
static void give_frames(struct extent *e)
{
	struct run_cursor c = runs_of(e);
	uint32_t more = e->more;

	do {
		struct frame_run frames = {{(uint64_t)c.run->frame << PAGE_SHIFT}, c.run->count};

		frames_free(&frames);
	} while (run_next(&c));
	e->more = 0;
	slots_lock();
	while (more) {
		uint32_t slot = more;

		more = extent_at(slot)->next;
		slot_give(slot);
	}
	slots_unlock();
}

/* ---- regions ---- */

static uint64_t body_start(const struct extent *e)
{
	return e->start + (e->flags & EXTENT_GUARDED ? PAGE_SIZE : 0);
}

static uint64_t body_pages(const struct extent *e)
{
	return e->pages - (e->flags & EXTENT_GUARDED ? 2 : 0);
}

/* Runs of pages on their way to the gate. */
struct batch {
	struct gate_run runs[BATCH];
	unsigned n;
	uint64_t va;     /* of the next page */
	uint64_t pages;  /* in runs */
	uint64_t mapped; /* done by earlier calls */
};

static int batch_flush(struct batch *b)
{
	uint64_t done = 0;
	int r = b->n > 0 ? map_runs(b->runs, b->n, &done) : 0;

	b->mapped += done;
	b->n = 0;
	b->pages = 0;
	return r;
}

/* Lengthens the last run if what comes next follows it in both spaces: a run costs, too. */
static bool batch_extend(struct batch *b, uint64_t pa, uint64_t pages, uint32_t flags)
{
	struct gate_run *last = b->n > 0 ? &b->runs[b->n - 1] : NULL;

	if (!last || last->flags != flags ||
	    last->va + (uint64_t)last->pages * PAGE_SIZE != b->va ||
	    last->pa + (uint64_t)last->pages * PAGE_SIZE != pa)
		return false;
	last->pages += (uint32_t)pages;
	return true;
}

static int batch_add(struct batch *b, uint64_t pa, uint64_t pages, uint32_t flags)
{
	while (pages > 0) {
		uint64_t n = min_u64(pages, GATE_PAGES_MAX - b->pages);

		if (!batch_extend(b, pa, n, flags))
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

static int batch_region(struct batch *b, struct extent *e)
{
	struct run_cursor c = runs_of(e);
	int r;

	b->va = body_start(e);
	do {
		r = batch_add(b, (uint64_t)c.run->frame << PAGE_SHIFT, c.run->count, GATE_RUN_WRITE);
	} while (r >= 0 && run_next(&c));
	return r;
}

/* Maps the frames of a region. On failure nothing of it is mapped. */
static int map_frames(struct extent *e)
{
	struct batch b = {0};
	int r = batch_region(&b, e);

	if (r >= 0)
		r = batch_flush(&b);
	if (r < 0)
		unmap_pages(body_start(e), b.mapped);
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

/* Address space of a region that is to be made. Result: 0 and a BUSY extent; -ENOMEM. */
static int region_begin(enum mapped_kind kind, uint64_t pages, uint64_t align, uint32_t *ret_slot)
{
	bool guarded = kind == MAPPED_STACK;
	int r;

	r = slots_lock_with(2);
	if (r < 0)
		return r;
	r = extent_take(kind == MAPPED_CELL ? ARENA_WINDOW : ARENA_DYNAMIC,
			(uint32_t)pages + (guarded ? 2 : 0), guarded ? EXTENT_GUARDED : 0, align,
			ret_slot);
	if (r >= 0)
		extent_at(*ret_slot)->kind = (uint8_t)kind;
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

static void region_cancel(uint32_t slot)
{
	slots_lock();
	extent_give(slot, EXTENT_FREE);
	slots_unlock();
}

/* Result: pages of a valid size, or 0. */
static uint64_t pages_of(size_t bytes)
{
	return bytes > REGION_MAX ? 0 : (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

int mapped_create_aligned(enum mapped_kind kind, size_t bytes, size_t align,
			  struct mapped *ret_region)
{
	uint64_t pages = pages_of(bytes);
	struct extent *e;
	uint32_t slot;
	int r;

	if (kind < MAPPED_DATA || kind > MAPPED_DMA || pages == 0 || align < PAGE_SIZE ||
	    align > REGION_MAX || (align & (align - 1)) != 0)
		return -EINVAL;
	r = region_begin(kind, pages, align / PAGE_SIZE, &slot);
	if (r < 0)
		return r;
	e = extent_at(slot);
	r = take_frames(e, pages, kind == MAPPED_DMA);
	if (r >= 0)
		r = map_frames(e);
	if (r < 0) {
		give_frames(e);
		region_cancel(slot);
		return r;
	}
	memset((void *)(uintptr_t)body_start(e), 0, pages * PAGE_SIZE);
	*ret_region = region_publish(slot);
	return 0;
}
CELL_EXPORT(mapped_create_aligned);

int mapped_create(enum mapped_kind kind, size_t bytes, struct mapped *ret_region)
{
	return mapped_create_aligned(kind, bytes, PAGE_SIZE, ret_region);
}
CELL_EXPORT(mapped_create);

/* Address space and frames of a region, not yet mapped. On failure nothing. */
static int region_prepare(enum mapped_kind kind, size_t bytes, uint32_t *ret_slot)
{
	uint64_t pages = pages_of(bytes);
	int r;

	if (pages == 0)
		return -EINVAL;
	r = region_begin(kind, pages, 1, ret_slot);
	if (r < 0)
		return r;
	r = take_frames(extent_at(*ret_slot), pages, false);
	if (r < 0) {
		give_frames(extent_at(*ret_slot));
		region_cancel(*ret_slot);
	}
	return r;
}

/* Maps the prepared regions in as few calls as fit. On failure nothing is mapped. */
static int map_many(const uint32_t *slots, unsigned n)
{
	struct batch b = {0};
	int r = 0;

	for (unsigned i = 0; i < n && r >= 0; i++)
		r = batch_region(&b, extent_at(slots[i]));
	if (r >= 0)
		r = batch_flush(&b);
	for (unsigned i = 0; i < n && r < 0 && b.mapped > 0; i++) {
		uint64_t pages = min_u64(b.mapped, body_pages(extent_at(slots[i])));

		unmap_pages(body_start(extent_at(slots[i])), pages);
		b.mapped -= pages;
	}
	return r;
}

int mapped_create_many(enum mapped_kind kind, unsigned n, const size_t *bytes,
		       struct mapped *ret_regions)
{
	uint32_t slots[MAPPED_MANY_MAX];
	unsigned done = 0;
	int r = 0;

	if ((kind != MAPPED_DATA && kind != MAPPED_CELL) || n > MAPPED_MANY_MAX)
		return -EINVAL;
	while (done < n && r >= 0) {
		r = region_prepare(kind, bytes[done], &slots[done]);
		done += r >= 0;
	}
	if (r >= 0)
		r = map_many(slots, n);
	for (unsigned i = 0; i < done; i++) {
		struct extent *e = extent_at(slots[i]);

		if (r < 0) {
			give_frames(e);
			region_cancel(slots[i]);
			continue;
		}
		memset((void *)(uintptr_t)body_start(e), 0, body_pages(e) * PAGE_SIZE);
		ret_regions[i] = region_publish(slots[i]);
	}
	return r < 0 ? r : 0;
}
CELL_EXPORT(mapped_create_many);

int mapped_create_device(paddr_t pa, size_t bytes, struct mapped *ret_region)
{
	uint64_t pages = pages_of(bytes), end;
	uint32_t slot;
	int r;

	if (pages == 0 || pa.v % PAGE_SIZE != 0 ||
	    __builtin_add_overflow(pa.v, pages * PAGE_SIZE, &end))
		return -EINVAL;
	r = region_begin(MAPPED_DEVICE, pages, 1, &slot);
	if (r < 0)
		return r;
	r = map_device(extent_at(slot), pa.v);
	if (r < 0) {
		region_cancel(slot);
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
	if (r < 0)
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
	e = extent_at(region.slot);
	if (e && (e->use != EXTENT_LIVE || e->generation != region.generation))
		e = NULL;
	if (e)
		e->use = EXTENT_BUSY;
	if (e && drop) {
		uint32_t next = e->generation == UINT32_MAX ? 1 : e->generation + 1;

		__atomic_store_n(&e->generation, next, __ATOMIC_RELEASE);
		extent_stats()->regions--;
		extent_stats()->pages -= body_pages(e);
	}
	if (!e && drop)
		extent_stats()->refused++;
	slots_unlock();
	return e;
}

static void region_drop(struct mapped *region, enum extent_use use)
{
	struct mapped gone = TAKE(*region);
	struct extent *e;

	if (gone.generation == 0)
		return;
	e = region_busy(gone, true);
	if (!e)
		return;
	if (e->flags & EXTENT_ADOPTED) {
		unmap_adopted(body_start(e), body_pages(e));
	} else {
		unmap_pages(body_start(e), body_pages(e));
		give_frames(e);
	}
	slots_lock();
	if (use == EXTENT_QUARANTINE)
		extent_stats()->quarantined_pages += e->pages;
	extent_give(gone.slot, use);
	slots_unlock();
}

void mapped_drop(struct mapped *region)
{
	region_drop(region, EXTENT_FREE);
}
CELL_EXPORT(mapped_drop);

void mapped_quarantine(struct mapped *region)
{
	region_drop(region, EXTENT_QUARANTINE);
}
CELL_EXPORT(mapped_quarantine);

int mapped_protect(struct mapped region, bool writable)
{
	struct extent *e = region_busy(region, false);
	uint64_t done, undone;
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
	slots_unlock();
	return r;
}
CELL_EXPORT(mapped_protect);

/* ---- views: without the lock, for interrupt handlers too ---- */

struct snapshot {
	enum mapped_kind kind;
	uint64_t start, bytes;
	struct run first;
};

/*
 * What is known of a region. A drop changes the generation before anything else, so if it
 * is the same before and after, what was read in between belongs together.
 */
static int snapshot(struct mapped region, struct snapshot *ret)
{
	struct extent *e = extent_at(region.slot);

	if (!e || __atomic_load_n(&e->generation, __ATOMIC_ACQUIRE) != region.generation)
		return -ESTALE;
	if (e->use != EXTENT_LIVE && e->use != EXTENT_BUSY)
		return -ESTALE;
	*ret = (struct snapshot){e->kind, body_start(e), body_pages(e) * PAGE_SIZE, e->runs[0]};
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->generation, __ATOMIC_RELAXED) != region.generation)
		return -ESTALE;
	return 0;
}

int mapped_view(struct mapped region, size_t offset, size_t len, size_t align, void **ret_view)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	if (offset > s.bytes || len > s.bytes - offset)
		return -ERANGE;
	if (align == 0 || (align & (align - 1)) != 0 || ((s.start + offset) & (align - 1)) != 0)
		return -EINVAL;
	*ret_view = (void *)(uintptr_t)(s.start + offset);
	return 0;
}
CELL_EXPORT(mapped_view);

int mapped_phys(struct mapped region, size_t offset, paddr_t *ret_pa)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	if (s.kind != MAPPED_DMA)
		return -EINVAL;
	if (offset >= s.bytes)
		return -ERANGE;
	ret_pa->v = ((uint64_t)s.first.frame << PAGE_SHIFT) + offset;
	return 0;
}
CELL_EXPORT(mapped_phys);

int mapped_info(struct mapped region, struct mapped_info *ret_info)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	*ret_info = (struct mapped_info){s.kind, {s.start}, s.bytes};
	return 0;
}
CELL_EXPORT(mapped_info);

void mapped_stats(struct mapped_stats *ret_stats)
{
	slots_lock();
	*ret_stats = *extent_stats();
	slots_unlock();
}
CELL_EXPORT(mapped_stats);

static int mapped_init(const struct cell_boot *boot)
{
	return boot->seed ? extents_init(boot->seed) : -EINVAL;
}

CELL_PROVIDE(cell_ops, mapped) = {.init = mapped_init};
