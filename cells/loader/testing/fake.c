/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <theseus/frames.h>
#include <theseus/gate-call.h>
#include <theseus/heap.h>
#include <theseus/mapped.h>

#include "../machine.h"
#include "../state.h"

#define WINDOW_BYTES (GATE_CELL_WINDOW_END - GATE_CELL_WINDOW)
#define REGIONS_MAX 65536u
#define FIRST_REGION 0x10000u

struct fake fake;
const struct iface_slot __slot_cell_self;

enum page_state { PAGE_NONE = 0, PAGE_WRITABLE, PAGE_SEALED };

static uint8_t *window;
static void free_all(void);
static uint8_t pages[WINDOW_BYTES / PAGE_SIZE];
static struct region {
	uint32_t at, bytes, generation;
} regions[REGIONS_MAX];
static uint32_t space_hint, region_hint; /* nothing below is free */

static bool fails(int64_t *counter)
{
	return *counter > 0 && --*counter == 0;
}

void *machine_bytes(uint32_t at)
{
	return window + at;
}

static void set_pages(uint64_t at, uint64_t bytes, enum page_state to)
{
	int prot = to == PAGE_WRITABLE ? PROT_READ | PROT_WRITE
		   : to == PAGE_SEALED ? PROT_READ
				       : PROT_NONE;

	for (uint64_t i = at / PAGE_SIZE; i < (at + bytes) / PAGE_SIZE; i++) {
		fake.pages += to == PAGE_WRITABLE;
		fake.pages -= to == PAGE_NONE;
		pages[i] = (uint8_t)to;
	}
	if (mprotect(window + at, bytes, prot) < 0)
		abort();
	if (prot == PROT_NONE && madvise(window + at, bytes, MADV_DONTNEED) < 0)
		abort();
}

void fake_start(void)
{
	struct gate_run run = {.va = IFACE_TABLE, .pages = 1, .flags = GATE_RUN_WRITE};

	if (!window)
		window = mmap(NULL, WINDOW_BYTES, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (window == MAP_FAILED || mprotect(window, WINDOW_BYTES, PROT_NONE) < 0 ||
	    madvise(window, WINDOW_BYTES, MADV_DONTNEED) < 0)
		abort();
	free_all();
	memset(pages, 0, sizeof(pages));
	memset(regions, 0, sizeof(regions));
	space_hint = FIRST_REGION;
	region_hint = 0;
	memset(loader_state(), 0, sizeof(*loader_state()));
	fake = (struct fake){0};
	assert_int_equal(gate_map(&run, 1), 1);
	loader_state()->slot_pages = 1;
}

uint64_t fake_read(uint64_t addr, unsigned n)
{
	uint64_t v = 0;

	memcpy(&v, window + window_at(addr), n);
	return v;
}

void fake_write(uint64_t addr, uint64_t value, unsigned n)
{
	memcpy(window + window_at(addr), &value, n);
}

void *fake_copy(uint64_t addr, uint64_t n)
{
	void *p = malloc(n ? n : 1);

	assert_non_null(p);
	memcpy(p, window + window_at(addr), n);
	return p;
}

bool fake_is_mapped(uint64_t addr)
{
	enum page_state s = (enum page_state)pages[window_at(addr) / PAGE_SIZE];

	return s == PAGE_WRITABLE || s == PAGE_SEALED;
}

void *fake_code(uint64_t addr)
{
	uint8_t *page = window + (window_at(addr) & ~(PAGE_SIZE - 1));

	if (mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC) < 0)
		abort();
	return window + window_at(addr);
}

/* ---- gate ---- */

/* All pages of a run in one state, or -errno. */
static int64_t change(const struct gate_run *run, enum page_state from, enum page_state to)
{
	uint32_t at = window_at(run->va);

	for (uint32_t i = 0; i < run->pages; i++) {
		if (pages[at / PAGE_SIZE + i] != from)
			return -EPERM;
	}
	set_pages(at, (uint64_t)run->pages * PAGE_SIZE, to);
	return run->pages;
}

static int64_t change_all(const struct gate_run *runs, unsigned n, enum page_state from,
			  enum page_state to)
{
	uint32_t done = 0, all = 0;

	for (unsigned i = 0; i < n; i++)
		all += runs[i].pages;
	assert_in_range(n, 1, GATE_RUNS_MAX);
	assert_in_range(all, 1, GATE_PAGES_MAX);
	for (unsigned i = 0; i < n; i++) {
		int64_t r = change(&runs[i], from, to);

		if (r < 0)
			return i ? done : r;
		done += runs[i].pages;
	}
	return done;
}

int64_t gate_map(const struct gate_run *runs, unsigned n)
{
	fake.map_calls++;
	return fails(&fake.map_fail_in) ? -ENOMEM : change_all(runs, n, PAGE_NONE, PAGE_WRITABLE);
}

int64_t gate_seal(const struct gate_run *runs, unsigned n)
{
	fake.seal_calls++;
	return fails(&fake.seal_fail_in) ? -EPERM : change_all(runs, n, PAGE_WRITABLE, PAGE_SEALED);
}

static bool is_sealed(uint64_t va)
{
	return pages[window_at(va) / PAGE_SIZE] == PAGE_SEALED;
}

/* Writes to sealed memory. */
static void poke(uint32_t at, const void *bytes, size_t n)
{
	uint32_t first = at & ~(PAGE_SIZE - 1), last = (uint32_t)(at + n - 1) & ~(PAGE_SIZE - 1);

	mprotect(window + first, last - first + PAGE_SIZE, PROT_READ | PROT_WRITE);
	memcpy(window + at, bytes, n);
	mprotect(window + first, last - first + PAGE_SIZE, PROT_READ);
}

void fake_poke(uint64_t addr, uint8_t value)
{
	poke(window_at(addr), &value, 1);
}

void fake_poke_word(uint64_t addr, uint64_t value)
{
	poke(window_at(addr), &value, sizeof(value));
}

int64_t gate_patch(const struct gate_patch *patches, unsigned n)
{
	fake.patch_calls++;
	assert_in_range(n, 1, GATE_PATCHES_MAX);
	if (fails(&fake.patch_fail_in)) {
		fake.patch_fail_in = fake.patch_fail_on;
		return -EPERM;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!is_sealed(patches[i].va) || !is_sealed(patches[i].va + 3))
			return -EPERM;
		if (fake_read(patches[i].va, 4) != patches[i].from)
			return -ESTALE;
	}
	for (unsigned i = 0; i < n; i++)
		poke(window_at(patches[i].va), &patches[i].to, 4);
	return 0;
}

void gate_crash(const char *text)
{
	fail_msg("crash: %s", text);
	abort();
}

/* ---- frames, mapped ---- */

int frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run)
{
	(void)align;
	*ret_run = (struct frame_run){{0x100000}, count};
	return 0;
}

void frames_free(struct frame_run *run)
{
	*run = (struct frame_run){0};
}

static struct region *find(struct mapped m)
{
	struct region *r = &regions[m.slot % REGIONS_MAX];

	assert_int_equal(r->generation, m.generation);
	assert_true(m.generation > 0);
	return r;
}

static uint32_t find_space(uint32_t bytes)
{
	uint32_t at = space_hint, run = 0;

	while (run < bytes) {
		run = pages[at / PAGE_SIZE] == PAGE_NONE ? run + PAGE_SIZE : 0;
		at += PAGE_SIZE;
	}
	if (bytes == PAGE_SIZE)
		space_hint = at;
	return at - bytes;
}

static struct mapped publish(uint32_t at, uint32_t bytes)
{
	static uint32_t generation;
	uint32_t slot = region_hint;

	while (slot < REGIONS_MAX && regions[slot].bytes)
		slot++;
	assert_true(slot < REGIONS_MAX);
	region_hint = slot + 1;
	regions[slot] = (struct region){at, bytes, ++generation};
	return (struct mapped){slot, generation};
}

int mapped_create_many(enum mapped_kind kind, unsigned n, const size_t *bytes,
		       struct mapped *ret_regions)
{
	assert_int_equal(kind, MAPPED_CELL);
	assert_in_range(n, 1, MAPPED_MANY_MAX);
	fake.map_calls++;
	if (fails(&fake.map_fail_in))
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		uint32_t at = find_space((uint32_t)bytes[i]);

		assert_true(bytes[i] > 0 && bytes[i] % PAGE_SIZE == 0);
		set_pages(at, bytes[i], PAGE_WRITABLE);
		ret_regions[i] = publish(at, (uint32_t)bytes[i]);
	}
	return 0;
}

int mapped_adopt(enum mapped_kind kind, vaddr_t start, size_t bytes, struct mapped *ret_region)
{
	assert_int_equal(kind, MAPPED_CELL);
	if (!fake_is_mapped(start.v))
		return -EINVAL;
	*ret_region = publish(window_at(start.v), (uint32_t)bytes);
	return 0;
}

int mapped_info(struct mapped region, struct mapped_info *ret_info)
{
	const struct region *r = find(region);

	*ret_info = (struct mapped_info){MAPPED_CELL, {window_addr(r->at)}, r->bytes};
	return 0;
}

void mapped_drop(struct mapped *region)
{
	struct region *r;

	if (region->generation == 0)
		return;
	r = find(*region);
	set_pages(r->at, r->bytes, PAGE_NONE);
	if (r->at < space_hint)
		space_hint = r->at;
	if (r - regions < region_hint)
		region_hint = (uint32_t)(r - regions);
	*r = (struct region){0};
	*region = (struct mapped){0};
}

void mapped_drop_many(struct mapped *gone, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		mapped_drop(&gone[i]);
}

/* ---- heap ---- */

/* In front of each block, in a list: what a test abandons is freed by the next fake_start(). */
struct block {
	struct block *prev, *next;
};
static struct block blocks = {&blocks, &blocks};

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	struct block *b;

	(void)owner;
	if (bytes == 0 || bytes > HEAP_BLOCK_MAX || fails(&fake.heap_fail_in))
		return NULL;
	b = malloc(sizeof(*b) + bytes);
	assert_non_null(b);
	*b = (struct block){&blocks, blocks.next};
	b->next->prev = b;
	blocks.next = b;
	memset(b + 1, 0xa5, bytes);
	fake.blocks++;
	return b + 1;
}

void heap_free(void *p)
{
	struct block *b;

	if (!p)
		return;
	b = (struct block *)p - 1;
	b->prev->next = b->next;
	b->next->prev = b->prev;
	fake.blocks--;
	free(b);
}

static void free_all(void)
{
	while (blocks.next != &blocks)
		heap_free(blocks.next + 1);
}
