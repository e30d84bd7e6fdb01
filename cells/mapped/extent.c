/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <theseus/frames.h>

CELL_STATE(struct mapped_state, mapped);

/* Slots that stay back for growing the table: two extents, each with what it leaves over. */
#define SLOTS_FOR_GROWTH 4u

/* ---- slots ---- */

static unsigned log2_of(uint64_t v)
{
	return 63 - (unsigned)__builtin_clzll(v);
}

/* Chunk 0 has 64 slots, and each one twice as many as the one before. */
struct extent *extent_at(uint32_t slot)
{
	uint64_t at = (uint64_t)slot + SLOTS_PER_PAGE;
	unsigned chunk = log2_of(at / SLOTS_PER_PAGE);

	return mapped.chunk[chunk] + (at - ((uint64_t)SLOTS_PER_PAGE << chunk));
}

struct extent *extent_find(uint32_t slot)
{
	if (slot == 0 || slot >= __atomic_load_n(&mapped.n_slots, __ATOMIC_ACQUIRE))
		return NULL;
	return extent_at(slot);
}

uint32_t slot_take(void)
{
	uint32_t slot = mapped.free_slot;

	mapped.free_slot = extent_at(slot)->next;
	mapped.n_free--;
	return slot;
}

void slot_give(uint32_t slot)
{
	struct extent *e = extent_at(slot);

	e->use = EXTENT_NONE;
	e->next = mapped.free_slot;
	mapped.free_slot = slot;
	mapped.n_free++;
}

/* Adds the slots of a page that is mapped and zeroed where the table ends. */
static void slots_add_page(void) REQUIRES(mapped_slots)
{
	uint32_t first = mapped.n_slots;

	__atomic_store_n(&mapped.n_slots, first + SLOTS_PER_PAGE, __ATOMIC_RELEASE);
	mapped.stats.own_pages++;
	for (uint32_t i = SLOTS_PER_PAGE; i-- > 0;) {
		if (first + i == 0)
			continue;
		extent_at(first + i)->generation = 1;
		slot_give(first + i);
	}
}

static int map_page(uint64_t va)
{
	struct frame_run frame;
	uint64_t done;
	int r;

	r = frames_alloc(1, 1, &frame);
	if (r < 0)
		return r;
	r = map_runs(&(struct gate_run){va, frame.start.v, 1, GATE_RUN_WRITE}, 1, &done);
	if (r < 0) {
		frames_free(&frame);
		return r;
	}
	memset((void *)(uintptr_t)va, 0, PAGE_SIZE);
	return 0;
}

/* Address of the next page of slots; takes address space when a chunk is full. */
static int next_slot_page(uint64_t *ret_va)
{
	uint64_t page = mapped.n_slots / SLOTS_PER_PAGE + 1; /* in the numbering of extent_at() */
	unsigned chunk = log2_of(page);
	uint32_t slot;

	if (chunk >= CHUNKS_MAX)
		return -ENOMEM;
	if (!mapped.chunk[chunk]) {
		int r;

		spin_lock_as(&mapped.lock, mapped_slots);
		r = extent_take(ARENA_DYNAMIC, 1u << chunk, 0, 1, &slot);
		if (r >= 0) {
			extent_at(slot)->use = EXTENT_RESERVED;
			mapped.chunk[chunk] = (struct extent *)(uintptr_t)extent_at(slot)->start;
		}
		spin_unlock_as(&mapped.lock, mapped_slots);
		if (r < 0)
			return r;
	}
	*ret_va = (uintptr_t)mapped.chunk[chunk] + (page - (1ull << chunk)) * PAGE_SIZE;
	return 0;
}

/* Adds a page of slots unless somebody else just did. */
static int slots_grow(uint32_t n)
{
	uint64_t va;
	int r = 0;

	spin_lock(&mapped.growing);
	if (__atomic_load_n(&mapped.n_free, __ATOMIC_RELAXED) < n) {
		r = next_slot_page(&va);
		if (r >= 0)
			r = map_page(va);
		if (r >= 0) {
			spin_lock_as(&mapped.lock, mapped_slots);
			slots_add_page();
			spin_unlock_as(&mapped.lock, mapped_slots);
		}
	}
	spin_unlock(&mapped.growing);
	return r;
}

/* NO_THREAD_SAFETY: they end with the lock itself held, or not, of which callers see the role. */
void slots_lock(void) NO_THREAD_SAFETY
{
	spin_lock(&mapped.lock);
}

void slots_unlock(void) NO_THREAD_SAFETY
{
	spin_unlock(&mapped.lock);
}

int slots_lock_with(uint32_t n)
{
	for (;;) {
		int r;

		slots_lock();
		if (mapped.n_free >= n + SLOTS_FOR_GROWTH)
			return 0;
		slots_unlock();
		r = slots_grow(n + SLOTS_FOR_GROWTH);
		if (r < 0)
			return r;
	}
}

struct mapped_stats *extent_stats(void)
{
	return &mapped.stats;
}

uint32_t *extent_owned(uint64_t task)
{
	return &mapped.owned[task % TASK_LISTS];
}

/* ---- free space by size ---- */

struct bin {
	unsigned class, step;
};

/* The bin that an extent of this size lies in. */
static struct bin bin_of(uint64_t pages)
{
	unsigned log;

	if (pages < BIN_STEPS)
		return (struct bin){0, (unsigned)pages};
	log = log2_of(pages);
	return (struct bin){log - 2, (unsigned)(pages >> (log - 3)) % BIN_STEPS};
}

static void bin_insert(uint32_t slot) REQUIRES(mapped_slots)
{
	struct extent *e = extent_at(slot);
	struct arena *a = &mapped.arenas[e->arena];
	struct bin b = bin_of(e->pages);
	uint32_t *head = &a->head[b.class][b.step];

	e->use = EXTENT_FREE;
	e->bin.prev = 0;
	e->bin.next = *head;
	if (*head)
		extent_at(*head)->bin.prev = slot;
	*head = slot;
	a->steps[b.class] |= (uint8_t)(1u << b.step);
	a->classes |= 1u << b.class;
}

static void bin_remove(uint32_t slot) REQUIRES(mapped_slots)
{
	struct extent *e = extent_at(slot);
	struct arena *a = &mapped.arenas[e->arena];
	struct bin b = bin_of(e->pages);

	if (e->bin.next)
		extent_at(e->bin.next)->bin.prev = e->bin.prev;
	if (e->bin.prev)
		extent_at(e->bin.prev)->bin.next = e->bin.next;
	else
		a->head[b.class][b.step] = e->bin.next;
	if (a->head[b.class][b.step] == 0)
		a->steps[b.class] &= (uint8_t) ~(1u << b.step);
	if (a->steps[b.class] == 0)
		a->classes &= ~(1u << b.class);
}

/* Some extent of a bin whose every extent has at least @pages, or 0. */
static uint32_t find_good(const struct arena *a, uint64_t pages) REQUIRES(mapped_slots)
{
	uint64_t granule = pages < BIN_STEPS ? 1 : 1ull << (log2_of(pages) - 3);
	struct bin b = bin_of(pages + granule - 1);
	unsigned steps, classes;

	if (b.class >= BIN_CLASSES)
		return 0;
	steps = a->steps[b.class] & (0xffu << b.step);
	if (steps)
		return a->head[b.class][__builtin_ctz(steps)];
	classes = b.class + 1 < BIN_CLASSES ? a->classes & (~0u << (b.class + 1)) : 0;
	if (!classes)
		return 0;
	b.class = (unsigned)__builtin_ctz(classes);
	return a->head[b.class][__builtin_ctz(a->steps[b.class])];
}

/* An extent of the bin below, where only some are large enough; bounded. */
static uint32_t find_tight(const struct arena *a, uint64_t pages) REQUIRES(mapped_slots)
{
	struct bin b = bin_of(pages);
	uint32_t slot;

	if (b.class >= BIN_CLASSES)
		return 0;
	slot = a->head[b.class][b.step];
	for (unsigned i = 0; slot && i < 64; i++) {
		if (extent_at(slot)->pages >= pages)
			return slot;
		slot = extent_at(slot)->bin.next;
	}
	return 0;
}

/* ---- extents ---- */

uint32_t extent_split(uint32_t slot, uint32_t pages)
{
	uint32_t rest_slot = slot_take();
	struct extent *e = extent_at(slot), *rest = extent_at(rest_slot);

	rest->use = e->use;
	rest->kind = e->kind;
	rest->arena = e->arena;
	rest->flags = 0;
	rest->start = e->start + (uint64_t)pages * PAGE_SIZE;
	rest->pages = e->pages - pages;
	rest->more = 0;
	rest->task = 0;
	memset(rest->runs, 0, sizeof(rest->runs));
	rest->prev = slot;
	rest->next = e->next;
	if (e->next)
		extent_at(e->next)->prev = rest_slot;
	e->next = rest_slot;
	e->pages = pages;
	return rest_slot;
}

/* Joins @slot with the one that follows it; both have the same use. */
static void join_next(uint32_t slot) REQUIRES(mapped_slots)
{
	struct extent *e = extent_at(slot);
	uint32_t gone = e->next;

	e->pages += extent_at(gone)->pages;
	e->next = extent_at(gone)->next;
	if (e->next)
		extent_at(e->next)->prev = slot;
	slot_give(gone);
}

int extent_take(enum arena_id arena, uint32_t pages, unsigned flags, uint64_t align,
		uint32_t *ret_slot)
{
	const struct arena *a = &mapped.arenas[arena];
	uint64_t first, before;
	uint32_t slot, rest;
	struct extent *e;

	slot = find_good(a, pages + align - 1);
	if (!slot)
		slot = find_tight(a, pages + align - 1);
	if (!slot)
		return -ENOMEM;
	bin_remove(slot);
	e = extent_at(slot);
	first = e->start / PAGE_SIZE + (flags & EXTENT_GUARDED ? MAPPED_STACK_GUARD_PAGES : 0);
	before = ((first + align - 1) & ~(align - 1)) - first;
	if (before > 0) {
		rest = extent_split(slot, (uint32_t)before);
		bin_insert(slot);
		slot = rest;
		e = extent_at(slot);
	}
	if (e->pages > pages)
		bin_insert(extent_split(slot, pages));
	e->use = EXTENT_BUSY;
	e->flags = (uint8_t)flags;
	e->more = 0;
	e->task = 0;
	memset(e->runs, 0, sizeof(e->runs));
	*ret_slot = slot;
	return 0;
}

/* The SEED extent that covers [start, start + pages), or 0. */
static uint32_t find_seed(uint64_t start, uint32_t pages) REQUIRES(mapped_slots)
{
	uint64_t end = start + (uint64_t)pages * PAGE_SIZE;

	for (uint32_t slot = 1; slot < mapped.n_slots; slot++) {
		const struct extent *e = extent_at(slot);

		if (e->use == EXTENT_SEED && start >= e->start &&
		    end <= e->start + (uint64_t)e->pages * PAGE_SIZE)
			return slot;
	}
	return 0;
}

int extent_cut_seed(uint64_t start, uint32_t pages, uint32_t *ret_slot)
{
	uint32_t slot = find_seed(start, pages);
	struct extent *e;

	if (!slot)
		return -EINVAL;
	e = extent_at(slot);
	if (start > e->start)
		slot = extent_split(slot, (uint32_t)((start - e->start) / PAGE_SIZE));
	e = extent_at(slot);
	if (e->pages > pages)
		extent_split(slot, pages);
	e->use = EXTENT_BUSY;
	e->flags = EXTENT_ADOPTED;
	e->more = 0;
	e->task = 0;
	memset(e->runs, 0, sizeof(e->runs));
	*ret_slot = slot;
	return 0;
}

void extent_give(uint32_t slot)
{
	struct extent *e = extent_at(slot);

	e->use = EXTENT_FREE;
	e->flags = 0;
	if (e->next && extent_at(e->next)->use == EXTENT_FREE) {
		bin_remove(e->next);
		join_next(slot);
	}
	if (e->prev && extent_at(e->prev)->use == EXTENT_FREE) {
		slot = e->prev;
		bin_remove(slot);
		join_next(slot);
	}
	bin_insert(slot);
}

/* ---- init ---- */

/* Appends an extent to the list of @arena that ends at *end; nothing if it is empty. */
static void append(enum arena_id arena, uint32_t *end, uint64_t start, uint64_t stop,
		   enum extent_use use) REQUIRES(mapped_slots)
{
	uint32_t slot;
	struct extent *e;

	if (start >= stop)
		return;
	slot = slot_take();
	e = extent_at(slot);
	e->arena = (uint8_t)arena;
	e->use = (uint8_t)use;
	e->start = start;
	e->pages = (uint32_t)((stop - start) / PAGE_SIZE);
	e->prev = *end;
	e->next = 0;
	if (*end)
		extent_at(*end)->next = slot;
	*end = slot;
	if (use == EXTENT_FREE)
		bin_insert(slot);
}

int extents_init(const struct seed_handoff *seed)
{
	uint64_t own = frames_dynamic_next().v;
	uint32_t last = 0;
	int r;

	if (seed->dynamic_next < GATE_DYNAMIC || own < seed->dynamic_next ||
	    own >= GATE_DYNAMIC_END - PAGE_SIZE || seed->window_next < GATE_CELL_WINDOW ||
	    seed->window_next > IFACE_TABLE)
		return -EINVAL;
	r = map_page(own);
	if (r < 0)
		return r;
	mapped.chunk[0] = (struct extent *)(uintptr_t)own;
	spin_unshared(mapped_slots); /* nobody maps before this has said yes */
	slots_add_page();
	append(ARENA_DYNAMIC, &last, GATE_DYNAMIC, seed->dynamic_next, EXTENT_SEED);
	append(ARENA_DYNAMIC, &last, seed->dynamic_next, own + PAGE_SIZE, EXTENT_RESERVED);
	append(ARENA_DYNAMIC, &last, own + PAGE_SIZE, GATE_DYNAMIC_END, EXTENT_FREE);
	last = 0;
	append(ARENA_WINDOW, &last, GATE_CELL_WINDOW, seed->window_next, EXTENT_SEED);
	append(ARENA_WINDOW, &last, seed->window_next, IFACE_TABLE, EXTENT_FREE);
	append(ARENA_WINDOW, &last, IFACE_TABLE, GATE_CELL_WINDOW_END, EXTENT_RESERVED);
	return 0;
}
