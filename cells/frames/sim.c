/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <theseus/trap.h>

#ifdef __clang__
#if __has_feature(address_sanitizer)
#define SIM_POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SIM_POISONS
#endif

#ifdef SIM_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK (512ull * PAGE_SIZE) /* what a page table maps */
#define PAGES_MAX (1u << 20)       /* slots of the hash table */
#define CHUNKS_MAX 65536u

struct sim sim;
struct boot_record sim_record;
struct seed_handoff sim_handoff;

extern char __start_theseus_state[], __stop_theseus_state[];

/* ---- model ---- */

struct sim_page {
	uint64_t va; /* 0 = empty slot */
	uint64_t pa; /* 0 = not mapped (any more) */
	uint32_t flags;
};

static struct sim_page *pages;
static uint8_t *frame_states;       /* enum gate_frame_state, by frame number */
static uint64_t chunks[CHUNKS_MAX]; /* addresses that have a page table */
static size_t n_chunks;
static uint64_t rng;

static struct sim_page *page_slot(uint64_t va)
{
	uint64_t at = va / PAGE_SIZE * 0x9e3779b97f4a7c15ull >> 44;

	while (pages[at].va && pages[at].va != va)
		at = (at + 1) % PAGES_MAX;
	return &pages[at];
}

static bool chunk_known(uint64_t va)
{
	/* newest first: tests work where they last did */
	for (size_t i = n_chunks; i-- > 0;) {
		if (chunks[i] == va / CHUNK * CHUNK)
			return true;
	}
	return false;
}

static void chunk_add(uint64_t va)
{
	void *at = (void *)(uintptr_t)(va / CHUNK * CHUNK);

	if (n_chunks == CHUNKS_MAX ||
	    mmap(at, CHUNK, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != at)
		abort();
	ASAN_POISON_MEMORY_REGION(at, CHUNK);
	chunks[n_chunks++] = (uintptr_t)at;
}

bool sim_page_mapped(uint64_t va)
{
	return page_slot(va)->pa != 0;
}

bool sim_page_writable(uint64_t va)
{
	return page_slot(va)->pa != 0 && (page_slot(va)->flags & GATE_RUN_WRITE);
}

uint64_t sim_page_frame(uint64_t va)
{
	return page_slot(va)->pa;
}

static void page_enter(uint64_t va, uint64_t pa, uint32_t flags)
{
	struct sim_page *page = page_slot(va);
	void *at = (void *)(uintptr_t)va;

	*page = (struct sim_page){va, pa, flags};
	ASAN_UNPOISON_MEMORY_REGION(at, PAGE_SIZE);
	if (!(flags & GATE_RUN_DEVICE)) {
		frame_states[pa >> PAGE_SHIFT] = GATE_FRAME_MAPPED;
		memset(at, 0xa7, PAGE_SIZE);
	}
	sim.mapped++;
}

static void page_leave(uint64_t va)
{
	struct sim_page *page = page_slot(va);

	if (!(page->flags & GATE_RUN_DEVICE))
		frame_states[page->pa >> PAGE_SHIFT] = GATE_FRAME_FREE;
	page->pa = 0;
	ASAN_POISON_MEMORY_REGION((void *)(uintptr_t)va, PAGE_SIZE);
	sim.mapped--;
}

/* ---- the calls ---- */

static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;

static bool failing(void)
{
	bool fails = sim.fail_in > 0 && --sim.fail_in == 0;

	sim.calls++;
	sim.failures += fails;
	return fails;
}

static int refuse(int err)
{
	sim.refused++;
	return err;
}

static bool in_area(const struct gate_run *r)
{
	uint64_t bytes = (uint64_t)r->pages * PAGE_SIZE;

	return (r->va >= GATE_CELL_WINDOW && r->va + bytes <= GATE_CELL_WINDOW_END) ||
	       (r->va >= GATE_DYNAMIC && r->va + bytes <= GATE_DYNAMIC_END);
}

static int check_run(const struct gate_run *r, uint64_t left)
{
	if (r->pages == 0 || r->va % PAGE_SIZE != 0)
		return -EINVAL;
	if (r->pages > left)
		return -E2BIG;
	return in_area(r) ? 0 : -ERANGE;
}

static int check_map(const struct gate_run *r)
{
	bool device = r->flags & GATE_RUN_DEVICE;

	for (uint32_t i = 0; i < r->pages; i++) {
		uint64_t frame = (r->pa >> PAGE_SHIFT) + i;
		bool ram = frame < GATE_PHYS_MAX >> PAGE_SHIFT &&
			   frame_states[frame] != GATE_FRAME_NOT_RAM;

		if (device == ram)
			return -EPERM;
		if (!device && frame_states[frame] != GATE_FRAME_FREE)
			return -EEXIST;
		if (sim_page_mapped(r->va + (uint64_t)i * PAGE_SIZE))
			return -EEXIST;
	}
	return 0;
}

static int map_run(const struct gate_run *r)
{
	uint64_t last = r->va + (r->pages - 1) * (uint64_t)PAGE_SIZE;
	uint64_t tables = !chunk_known(r->va);
	int err = check_map(r);

	if (err)
		return refuse(err);
	if (last / CHUNK != r->va / CHUNK)
		tables += !chunk_known(last);
	if (tables > sim.tables_left)
		return -ENOMEM;
	sim.tables_left -= tables;
	if (!chunk_known(r->va))
		chunk_add(r->va);
	if (!chunk_known(last))
		chunk_add(last);
	for (uint32_t i = 0; i < r->pages; i++)
		page_enter(r->va + (uint64_t)i * PAGE_SIZE, r->pa + (uint64_t)i * PAGE_SIZE,
			   r->flags);
	return 0;
}

static int check_mapped(const struct gate_run *r)
{
	for (uint32_t i = 0; i < r->pages; i++) {
		if (!sim_page_mapped(r->va + (uint64_t)i * PAGE_SIZE))
			return refuse(-ENOENT);
	}
	return 0;
}

static int protect_run(const struct gate_run *r)
{
	int err = check_mapped(r);

	for (uint32_t i = 0; !err && i < r->pages; i++) {
		struct sim_page *page = page_slot(r->va + (uint64_t)i * PAGE_SIZE);

		page->flags = (page->flags & ~(uint32_t)GATE_RUN_WRITE) | r->flags;
	}
	return err;
}

static int64_t do_runs(const struct gate_run *runs, unsigned n, int (*op)(const struct gate_run *))
{
	uint64_t done = 0;
	int err = 0;

	if (failing())
		return -EIO;
	if (n == 0 || n > GATE_RUNS_MAX)
		return refuse(-EINVAL);
	for (unsigned i = 0; i < n; i++) {
		err = check_run(&runs[i], GATE_PAGES_MAX - done);
		if (err)
			refuse(err);
		else
			err = op(&runs[i]);
		if (err)
			break;
		done += runs[i].pages;
	}
	return done > 0 ? (int64_t)done : err;
}

int64_t gate_map(const struct gate_run *runs, unsigned n)
{
	int64_t r;

	pthread_mutex_lock(&gate_mutex);
	r = do_runs(runs, n, map_run);
	pthread_mutex_unlock(&gate_mutex);
	return r;
}

int64_t gate_protect(const struct gate_run *runs, unsigned n)
{
	int64_t r;

	pthread_mutex_lock(&gate_mutex);
	r = do_runs(runs, n, protect_run);
	pthread_mutex_unlock(&gate_mutex);
	return r;
}

static int64_t unmap_runs(struct gate_run *runs, unsigned n)
{
	int64_t done = 0;

	sim.calls++;
	for (unsigned i = 0; i < n; i++) {
		int err = check_run(&runs[i], GATE_PAGES_MAX - (uint64_t)done);

		if (!err)
			err = check_mapped(&runs[i]);
		if (err)
			return done > 0 ? done : refuse(err);
		runs[i].pa = sim_page_frame(runs[i].va);
		for (uint32_t k = 0; k < runs[i].pages; k++)
			page_leave(runs[i].va + (uint64_t)k * PAGE_SIZE);
		done += runs[i].pages;
	}
	return done;
}

/* Unmapping is not made to fail: the gate has no reason to, short of a broken rule. */
int64_t gate_unmap(struct gate_run *runs, unsigned n)
{
	int64_t r;

	pthread_mutex_lock(&gate_mutex);
	r = unmap_runs(runs, n);
	pthread_mutex_unlock(&gate_mutex);
	return r;
}

static int64_t take_table(uint64_t frame)
{
	uint8_t *state = &frame_states[frame >> PAGE_SHIFT];

	if (failing())
		return -EIO;
	if (frame % PAGE_SIZE != 0 || frame >= GATE_PHYS_MAX || *state != GATE_FRAME_FREE)
		return refuse(-EEXIST);
	*state = GATE_FRAME_TABLE;
	sim.tables_left++;
	sim.tables_given++;
	return 0;
}

int64_t gate_table(uint64_t frame)
{
	int64_t r;

	pthread_mutex_lock(&gate_mutex);
	r = take_table(frame);
	pthread_mutex_unlock(&gate_mutex);
	return r;
}

/* ---- failures ---- */

int __wrap_frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run);
int __real_frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run);

int __wrap_frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run)
{
	if (sim.frames_fail_in > 0 && --sim.frames_fail_in == 0) {
		sim.failures++;
		if (sim.frames_fail_on)
			sim.frames_fail_in = 1;
		return -ENOMEM;
	}
	return __real_frames_alloc(count, align, ret_run);
}

static jmp_buf landing;
static const char *expected;

void trap_at(const char *reason, const char *file, unsigned line)
{
	if (expected && strcmp(reason, expected) == 0)
		longjmp(landing, 1);
	fprintf(stderr, "%s:%u: trap: %s\n", file, line, reason);
	abort();
}

void sim_expect_trap(void (*fn)(void *arg), void *arg, const char *reason)
{
	expected = reason;
	if (setjmp(landing) == 0) {
		fn(arg);
		fail_msg("no trap: %s", reason);
	}
	expected = NULL;
}

/* ---- boot ---- */

uint64_t sim_random(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 2685821657736338717ull;
}

size_t sim_below(size_t n)
{
	return (size_t)(sim_random() % n);
}

static void clear_model(void)
{
	if (!pages)
		pages = calloc(PAGES_MAX, sizeof(*pages));
	if (!frame_states)
		frame_states = malloc(GATE_PHYS_MAX >> PAGE_SHIFT);
	if (!pages || !frame_states)
		abort();
	memset(pages, 0, PAGES_MAX * sizeof(*pages));
	memset(frame_states, GATE_FRAME_NOT_RAM, GATE_PHYS_MAX >> PAGE_SHIFT);
	while (n_chunks > 0) {
		n_chunks--;
		ASAN_UNPOISON_MEMORY_REGION((void *)(uintptr_t)chunks[n_chunks], CHUNK);
		munmap((void *)(uintptr_t)chunks[n_chunks], CHUNK);
	}
}

/* Maps pages as the seed does: cells in the window, stack and bundle in the dynamic area. */
static void map_seed(uint64_t first_frame)
{
	struct gate_run runs[] = {
		{GATE_CELL_WINDOW, first_frame, SIM_SEED_PAGES, GATE_RUN_WRITE},
		{GATE_DYNAMIC, first_frame + SIM_SEED_PAGES * PAGE_SIZE, SIM_SEED_PAGES,
		 GATE_RUN_WRITE},
		{GATE_DYNAMIC + SIM_SEED_PAGES * PAGE_SIZE, sim_record.bundle.start,
		 SIM_BUNDLE_PAGES, 0},
	};

	sim.tables_left = 2;
	if (gate_map(runs, 3) != 2 * SIM_SEED_PAGES + SIM_BUNDLE_PAGES)
		abort();
}

void sim_boot(uint64_t ram_pages)
{
	uint64_t end = SIM_RAM_START + ram_pages * PAGE_SIZE;
	uint64_t bundle_end = end + SIM_BUNDLE_PAGES * PAGE_SIZE;

	memset(__start_theseus_state, 0, (size_t)(__stop_theseus_state - __start_theseus_state));
	clear_model();
	sim = (struct sim){.ram_pages = ram_pages};
	sim_record = (struct boot_record){.cpus = 2, .bundle = {end, bundle_end}};
	sim_record.free[0] = (struct gate_range){SIM_RAM_START, end};
	sim_handoff = (struct seed_handoff){.version = 1, .n_free = 1};
	sim_handoff.free[0].start = SIM_RAM_START + 2 * SIM_SEED_PAGES * PAGE_SIZE;
	sim_handoff.free[0].end = end;
	sim_handoff.window_next = GATE_CELL_WINDOW + SIM_SEED_PAGES * PAGE_SIZE;
	sim_handoff.dynamic_next = GATE_DYNAMIC + (SIM_SEED_PAGES + SIM_BUNDLE_PAGES) * PAGE_SIZE;
	memset(frame_states + (SIM_RAM_START >> PAGE_SHIFT), GATE_FRAME_FREE,
	       (bundle_end - SIM_RAM_START) >> PAGE_SHIFT);
	map_seed(SIM_RAM_START);
	sim.calls = 0;
	rng = 0x7468657365757301ull;
}

int sim_start(const struct cell_ops *cell)
{
	const struct cell_boot boot = {&sim_record, &sim_handoff};

	return cell->init(&boot);
}
