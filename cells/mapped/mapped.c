/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <theseus/frames.h>
#include <theseus/trap.h>

#define REGION_MAX (1ull << 30)
#define BATCH 32u     /* runs in one gate call: they lie on the stack meanwhile */
#define TABLES_MAX 8u /* page tables that 512 consecutive pages may need, and a pair to spare */

CELL_INFO(.name = "mapped", .version = "1.0.0", .grants = GATE_GRANT_MEMORY, .safety = CELL_UNSAFE,
	  .summary = "joins address space with frames: mapped regions");

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
		int64_t r;

		if (frames_fails())
			return -ENOMEM;
		r = gate_map(runs, n);
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

/* Pages on their way out. They are mapped, so unmapping cannot fail. */
struct unmap_batch {
	struct gate_run runs[BATCH];
	unsigned n;
	uint64_t pages;   /* in runs */
	uint32_t adopted; /* a bit a run: one page, whose frame only the gate knows */
};

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

static void unmap_flush(struct unmap_batch *b)
{
	if (b->n > 0 && gate_unmap(b->runs, b->n) != (int64_t)b->pages)
		TRAP("mapped: the gate knows no such pages");
	return_adopted(b);
	b->n = 0;
	b->pages = 0;
	b->adopted = 0;
}

static void unmap_add(struct unmap_batch *b, uint64_t start, uint64_t pages, bool adopted)
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

static void unmap_pages(uint64_t start, uint64_t pages)
{
	struct unmap_batch b = {.n = 0};

	unmap_add(&b, start, pages, false);
	unmap_flush(&b);
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
	return e->start + (e->flags & EXTENT_GUARDED ? MAPPED_STACK_GUARD_PAGES * PAGE_SIZE : 0);
}

static uint64_t body_pages(const struct extent *e)
{
	return e->pages - (e->flags & EXTENT_GUARDED ? MAPPED_STACK_GUARD_PAGES + 1 : 0);
}

/* Pages on their way in, at consecutive addresses. */
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

static int batch_add(struct batch *b, uint64_t pa, uint64_t pages, uint32_t flags)
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
	if (r < 0)
		return r;
	r = extent_take(w->kind == MAPPED_CELL ? ARENA_WINDOW : ARENA_DYNAMIC,
			(uint32_t)w->pages + (guarded ? MAPPED_STACK_GUARD_PAGES + 1 : 0), guarded ? EXTENT_GUARDED : 0,
			w->align, &slot);
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
		extent_give(slot, EXTENT_FREE);
		slots_unlock();
		slot = next;
	}
}

static int regions_create(const struct wish *w, struct mapped *ret_regions)
{
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
static void region_end(uint32_t slot, enum extent_use use)
{
	struct extent *e = extent_at(slot);

	if (!(e->flags & EXTENT_ADOPTED))
		give_frames(e);
	slots_lock();
	if (use == EXTENT_QUARANTINE)
		extent_stats()->quarantined_pages += e->pages;
	extent_give(slot, use);
	slots_unlock();
}

static void regions_drop(struct mapped *regions, unsigned n, enum extent_use use)
{
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
			region_end(gone.slot, use);
	}
}

void mapped_drop(struct mapped *region)
{
	regions_drop(region, 1, EXTENT_FREE);
}
CELL_EXPORT(mapped_drop);

void mapped_drop_many(struct mapped *regions, unsigned n)
{
	regions_drop(regions, n, EXTENT_FREE);
}
CELL_EXPORT(mapped_drop_many);

void mapped_quarantine(struct mapped *region)
{
	regions_drop(region, 1, EXTENT_QUARANTINE);
}
CELL_EXPORT(mapped_quarantine);

int mapped_protect(struct mapped region, bool writable)
{
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
	struct extent *e = extent_find(region.slot);

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
