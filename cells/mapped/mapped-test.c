/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <theseus/frames.h>
#include <theseus/ledger.h>
#include <theseus/mapped.h>

#include "internal.h"

extern const struct cell_ops __provide_cell_ops__frames, __provide_cell_ops__mapped;
extern const struct ledger_ops __provide_ledger_ops__mapped;

#define RAM 4000u /* pages */
#define DEVICE_PA 0xd0000000ull

static void start(uint64_t ram_pages)
{
	sim_boot(ram_pages);
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
}

static struct mapped_stats stats(void)
{
	struct mapped_stats s;

	mapped_stats(&s);
	return s;
}

static uint64_t frames_used(void)
{
	struct frames_stats s;

	frames_stats(&s);
	return s.used;
}

/* Every frame in use is mapped or a page table. @others: mapped, but no frame of ours. */
static void check_frames(uint64_t others)
{
	struct frames_stats s;

	frames_stats(&s);
	assert_int_equal(s.tables, sim.tables_given);
	assert_int_equal(frames_used() + others, sim.mapped + sim.tables_given);
	assert_int_equal(sim.refused, 0);
}

static struct mapped create(enum mapped_kind kind, size_t bytes)
{
	struct mapped region = {0};

	assert_int_equal(mapped_create(kind, bytes, &region), 0);
	return region;
}

static uint8_t *view(struct mapped region)
{
	struct mapped_info info;
	void *p;

	assert_int_equal(mapped_info(region, &info), 0);
	assert_int_equal(mapped_view(region, 0, info.bytes, PAGE_SIZE, &p), 0);
	assert_true((uintptr_t)p == info.start.v);
	return p;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* ---- one of each kind ---- */

static void test_data(void **state)
{
	struct mapped region, copy;
	struct mapped_info info;
	uint8_t *p;

	(void)state;
	start(RAM);
	region = create(MAPPED_DATA, 3 * PAGE_SIZE - 5);
	copy = region;
	assert_int_equal(mapped_info(region, &info), 0);
	assert_int_equal(info.kind, MAPPED_DATA);
	assert_int_equal(info.bytes, 3 * PAGE_SIZE);
	assert_in_range(info.start.v, GATE_DYNAMIC, GATE_DYNAMIC_END - 1);
	p = view(region);
	assert_true(all_zero(p, 3 * PAGE_SIZE));
	assert_true(sim_page_writable(info.start.v));
	assert_int_equal(stats().regions, 1);
	assert_int_equal(stats().pages, 3);
	mapped_drop(&region);
	assert_int_equal(region.generation, 0);
	assert_false(sim_page_mapped(info.start.v));
	assert_int_equal(stats().regions, 0);
	assert_int_equal(stats().pages, 0);
	mapped_drop(&region); /* none */
	assert_int_equal(stats().refused, 0);
	mapped_drop(&copy); /* stale */
	assert_int_equal(stats().refused, 1);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_stack_has_guards(void **state)
{
	struct mapped_info info[3];
	struct mapped stack[3];

	(void)state;
	start(RAM);
	for (int i = 0; i < 3; i++) {
		stack[i] = create(MAPPED_STACK, 4 * PAGE_SIZE);
		assert_int_equal(mapped_info(stack[i], &info[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(info[i].bytes, 4 * PAGE_SIZE);
		assert_true(all_zero(view(stack[i]), info[i].bytes));
		assert_false(sim_page_mapped(info[i].start.v - PAGE_SIZE));
		assert_false(sim_page_mapped(info[i].start.v + info[i].bytes));
	}
	assert_int_equal(stats().pages, 12);
	for (int i = 0; i < 3; i++)
		mapped_drop(&stack[i]);
	assert_int_equal(stats().pages, 0);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_cell_and_dma(void **state)
{
	struct mapped cell, dma;
	paddr_t pa, next;

	(void)state;
	start(RAM);
	cell = create(MAPPED_CELL, 5 * PAGE_SIZE);
	assert_in_range((uintptr_t)view(cell), sim_handoff.window_next, IFACE_TABLE - 1);
	assert_int_equal(mapped_phys(cell, 0, &pa), -EINVAL);
	dma = create(MAPPED_DMA, 40 * PAGE_SIZE);
	assert_int_equal(mapped_phys(dma, 0, &pa), 0);
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(mapped_phys(dma, i * PAGE_SIZE + 7, &next), 0);
		assert_true(next.v == pa.v + i * PAGE_SIZE + 7);
		assert_true(sim_page_frame((uintptr_t)view(dma) + i * PAGE_SIZE) == next.v - 7);
	}
	assert_int_equal(mapped_phys(dma, 40 * PAGE_SIZE, &pa), -ERANGE);
	mapped_drop(&dma);
	assert_int_equal(mapped_phys(dma, 0, &pa), -ESTALE);
	mapped_drop(&cell);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_device(void **state)
{
	struct mapped region = {0};
	struct mapped_info info;

	(void)state;
	start(RAM);
	assert_int_equal(mapped_create_device((paddr_t){DEVICE_PA}, 600 * PAGE_SIZE, &region), 0);
	assert_int_equal(mapped_info(region, &info), 0);
	assert_int_equal(info.kind, MAPPED_DEVICE);
	for (size_t i = 0; i < 600; i++)
		assert_true(sim_page_frame(info.start.v + i * PAGE_SIZE) ==
			    DEVICE_PA + i * PAGE_SIZE);
	check_frames(SIM_BUNDLE_PAGES + 600);
	mapped_drop(&region);
	check_frames(SIM_BUNDLE_PAGES);
	assert_int_equal(mapped_create_device((paddr_t){DEVICE_PA + 1}, 1, &region), -EINVAL);
	assert_int_equal(mapped_create_device((paddr_t){DEVICE_PA}, 0, &region), -EINVAL);
	assert_int_equal(mapped_create_device((paddr_t){-4096ull}, 2 * PAGE_SIZE, &region),
			 -EINVAL);
	assert_int_equal(mapped_create_device((paddr_t){DEVICE_PA}, (1ul << 30) + 1, &region),
			 -EINVAL);
	assert_int_equal(sim.refused, 0);
	/* RAM is refused by the gate, also in the middle */
	assert_int_equal(mapped_create_device((paddr_t){SIM_RAM_START}, 1, &region), -EPERM);
	assert_int_equal(mapped_create_device((paddr_t){SIM_RAM_START - 100 * PAGE_SIZE},
					      710 * PAGE_SIZE, &region),
			 -EPERM);
	sim.refused = 0;
	check_frames(SIM_BUNDLE_PAGES);
	assert_int_equal(stats().regions, 0);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
	static const size_t one = 1, some_empty[] = {1, 0, 1}, huge[] = {1ul << 29, 1ul << 29, 1};
	const struct cell_boot no_seed = {&sim_record, NULL};
	struct mapped region = {7, 7};

	(void)state;
	start(RAM);
	assert_int_equal(mapped_create((enum mapped_kind)0, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create(MAPPED_DEVICE, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create(_MAPPED_KIND_MAX, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create(_MAPPED_KIND_INVALID, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create(MAPPED_DATA, 0, &region), -EINVAL);
	assert_int_equal(mapped_create(MAPPED_DATA, (1ul << 30) + 1, &region), -EINVAL);
	assert_int_equal(mapped_create(MAPPED_DATA, SIZE_MAX, &region), -EINVAL);
	assert_int_equal(mapped_create_raw(0, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create_raw((1ul << 30) + 1, PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create_raw(1, 0, &region), -EINVAL);
	assert_int_equal(mapped_create_raw(1, 2048, &region), -EINVAL);
	assert_int_equal(mapped_create_raw(1, 3 * PAGE_SIZE, &region), -EINVAL);
	assert_int_equal(mapped_create_raw(1, 1ul << 31, &region), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_STACK, 1, &one, &region), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_DMA, 1, &one, &region), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_DATA, 3, some_empty, &region), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_DATA, 3, huge, &region), -EINVAL);
	assert_int_equal(mapped_create(MAPPED_DATA, 1ul << 30, &region), -ENOMEM);
	assert_int_equal(mapped_create(MAPPED_DMA, RAM * PAGE_SIZE, &region), -ENOMEM);
	assert_int_equal(region.slot, 7);
	check_frames(SIM_BUNDLE_PAGES);
	assert_int_equal(__provide_cell_ops__mapped.init(&no_seed), -EINVAL);
}

static void test_views(void **state)
{
	struct mapped region, none = {0}, forged = {1000000, 1};
	void *p = NULL;
	uint32_t *words;

	(void)state;
	start(RAM);
	region = create(MAPPED_DATA, 2 * PAGE_SIZE);
	assert_int_equal(mapped_view(region, 0, 2 * PAGE_SIZE, 1, &p), 0);
	assert_int_equal(mapped_view(region, 2 * PAGE_SIZE, 0, 1, &p), 0);
	assert_int_equal(mapped_view(region, 2 * PAGE_SIZE, 1, 1, &p), -ERANGE);
	assert_int_equal(mapped_view(region, 2 * PAGE_SIZE + 1, 0, 1, &p), -ERANGE);
	assert_int_equal(mapped_view(region, 1, 2 * PAGE_SIZE, 1, &p), -ERANGE);
	assert_int_equal(mapped_view(region, SIZE_MAX, 2, 1, &p), -ERANGE);
	assert_int_equal(mapped_view(region, 8, SIZE_MAX, 1, &p), -ERANGE);
	assert_int_equal(mapped_view(region, 4, 4, 8, &p), -EINVAL);
	assert_int_equal(mapped_view(region, 4, 4, 0, &p), -EINVAL);
	assert_int_equal(mapped_view(region, 4, 4, 3, &p), -EINVAL);
	assert_int_equal(mapped_view(none, 0, 1, 1, &p), -ESTALE);
	assert_int_equal(mapped_view(forged, 0, 1, 1, &p), -ESTALE);
	forged = region;
	forged.generation++;
	assert_int_equal(mapped_view(forged, 0, 1, 1, &p), -ESTALE);
	words = MAPPED_VIEW(uint32_t, region, 8, 10);
	assert_ptr_equal(words, view(region) + 8);
	assert_null(MAPPED_VIEW(uint32_t, region, 2, 10));
	assert_null(MAPPED_VIEW(uint32_t, region, 0, 2 * PAGE_SIZE / 4 + 1));
	assert_null(MAPPED_VIEW(uint32_t, region, 0, SIZE_MAX / 2));
	mapped_drop(&region);
}

/* A handle whose slot has been used again names nothing. */
static void test_stale(void **state)
{
	struct mapped old, copy, region;
	struct mapped_info info;
	void *p;

	(void)state;
	start(RAM);
	old = create(MAPPED_DATA, PAGE_SIZE);
	copy = old;
	mapped_drop(&copy);
	copy = old;
	region = create(MAPPED_DATA, PAGE_SIZE);
	assert_int_equal(region.slot, old.slot);
	assert_int_equal(mapped_view(old, 0, 1, 1, &p), -ESTALE);
	assert_int_equal(mapped_info(old, &info), -ESTALE);
	assert_int_equal(mapped_protect(old, false), -ESTALE);
	mapped_drop(&copy);
	assert_int_equal(stats().refused, 1);
	assert_true(all_zero(view(region), PAGE_SIZE));
	mapped_drop(&region);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_protect(void **state)
{
	struct mapped region, stack;
	struct mapped_info info;

	(void)state;
	start(RAM);
	region = create(MAPPED_DATA, 1200 * PAGE_SIZE);
	stack = create(MAPPED_STACK, PAGE_SIZE);
	assert_int_equal(mapped_info(region, &info), 0);
	assert_int_equal(mapped_protect(region, false), 0);
	for (uint64_t i = 0; i < 1200; i++)
		assert_false(sim_page_writable(info.start.v + i * PAGE_SIZE));
	/* half way through the gate fails: all is as it was */
	sim.fail_in = 2;
	assert_int_equal(mapped_protect(region, true), -EIO);
	for (uint64_t i = 0; i < 1200; i++)
		assert_false(sim_page_writable(info.start.v + i * PAGE_SIZE));
	assert_int_equal(mapped_protect(region, true), 0);
	for (uint64_t i = 0; i < 1200; i++)
		assert_true(sim_page_writable(info.start.v + i * PAGE_SIZE));
	assert_int_equal(mapped_protect(stack, false), -EINVAL);
	mapped_drop(&region);
	mapped_drop(&stack);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_raw(void **state)
{
	struct mapped region[60];

	(void)state;
	start(RAM);
	for (int i = 0; i < 60; i++) {
		size_t align = PAGE_SIZE << sim_below(9);

		assert_int_equal(mapped_create_raw(1 + sim_below(90000), align, &region[i]), 0);
		assert_int_equal((uintptr_t)view(region[i]) % align, 0);
		/* nobody spent time on it */
		assert_int_equal(view(region[i])[100], 0xa7);
	}
	for (int i = 0; i < 60; i++)
		mapped_drop(&region[i]);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_many_at_once(void **state)
{
	size_t bytes[MAPPED_MANY_MAX];
	struct mapped region[MAPPED_MANY_MAX], copy;
	uint64_t pages = 0, calls;

	(void)state;
	start(RAM);
	for (unsigned i = 0; i < MAPPED_MANY_MAX; i++) {
		bytes[i] = 1 + sim_below(5 * PAGE_SIZE);
		pages += (bytes[i] + PAGE_SIZE - 1) / PAGE_SIZE;
	}
	calls = sim.calls;
	assert_int_equal(mapped_create_many(MAPPED_CELL, MAPPED_MANY_MAX, bytes, region), 0);
	/* the table of regions grew on the way */
	assert_in_range(sim.calls - calls, pages / GATE_PAGES_MAX + 1, pages / GATE_PAGES_MAX + 8);
	assert_int_equal(stats().regions, MAPPED_MANY_MAX);
	assert_int_equal(stats().pages, pages);
	for (unsigned i = 0; i < MAPPED_MANY_MAX; i++) {
		struct mapped_info info;

		assert_int_equal(mapped_info(region[i], &info), 0);
		assert_int_equal(info.bytes, (bytes[i] + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE);
		assert_true(all_zero(view(region[i]), info.bytes));
		memset(view(region[i]), (int)i, info.bytes);
	}
	/* each is dropped by itself, or with others */
	for (unsigned i = 0; i < MAPPED_MANY_MAX; i += 2)
		mapped_drop(&region[i]);
	for (unsigned i = 1; i < MAPPED_MANY_MAX; i += 2)
		assert_int_equal(view(region[i])[0], (uint8_t)i);
	copy = region[77];
	mapped_drop(&copy);
	calls = sim.calls;
	mapped_drop_many(region, MAPPED_MANY_MAX);
	assert_in_range(sim.calls - calls, 1, 5);
	for (unsigned i = 0; i < MAPPED_MANY_MAX; i++)
		assert_int_equal(region[i].generation, 0);
	assert_int_equal(stats().refused, 1);
	assert_int_equal(stats().regions, 0);
	mapped_drop_many(region, 0);
	check_frames(SIM_BUNDLE_PAGES);
}

/* ---- of a task ---- */

static void end_task(uint64_t task)
{
	__provide_ledger_ops__mapped.task_ended(task);
}

static void test_bound_to_a_task(void **state)
{
	enum { N = 40, SAME_LIST = 5 + 4096 };
	struct mapped r[N];

	(void)state;
	start(RAM);
	for (unsigned i = 0; i < N; i++) {
		r[i] = create(i % 2 ? MAPPED_DATA : MAPPED_STACK, PAGE_SIZE);
		assert_int_equal(mapped_bind(r[i], i % 4 ? 5 : SAME_LIST), 0);
	}
	assert_int_equal(mapped_bind(r[1], 0), 0);
	assert_int_equal(mapped_bind(r[2], 6), 0);
	mapped_drop(&r[3]); /* what is dropped early is dropped once */
	end_task(0);
	end_task(7);
	assert_int_equal(stats().regions, N - 1);
	end_task(5);
	end_task(5);
	assert_int_equal(stats().regions, N / 4 + 2);
	assert_int_equal(mapped_bind(r[5], 5), -ESTALE);
	(void)view(r[1]);
	(void)view(r[2]);
	end_task(6);
	assert_int_equal(stats().regions, N / 4 + 1);
	end_task(SAME_LIST);
	assert_int_equal(stats().regions, 1);
	mapped_drop(&r[1]);
	assert_int_equal(mapped_bind((struct mapped){0, 0}, 5), -ESTALE);
	assert_int_equal(mapped_bind((struct mapped){1u << 30, 1}, 5), -ESTALE);
	assert_int_equal(stats().refused, 0);
	check_frames(SIM_BUNDLE_PAGES);
}

/* ---- frames in pieces ---- */

/* Leaves only every second frame of what is free. */
static size_t fragment(struct frame_run *ret_runs)
{
	static struct frame_run runs[RAM];
	size_t n = 0, kept = 0;

	while (frames_alloc(1, 1, &runs[n]) == 0)
		n++;
	for (size_t i = 0; i < n; i++) {
		if (i % 2)
			frames_free(&runs[i]);
		else
			ret_runs[kept++] = runs[i];
	}
	return kept;
}

static void test_fragmented(void **state)
{
	static struct frame_run kept[RAM];
	struct mapped region, dma = {0};
	size_t n;
	uint8_t *p;

	(void)state;
	start(RAM);
	n = fragment(kept);
	assert_int_equal(mapped_create(MAPPED_DMA, 2 * PAGE_SIZE, &dma), -ENOMEM);
	for (size_t pages = 1; pages < 200; pages += 1 + pages / 4) {
		region = create(MAPPED_DATA, pages * PAGE_SIZE);
		p = view(region);
		assert_true(all_zero(p, pages * PAGE_SIZE));
		memset(p, 1, pages * PAGE_SIZE);
		mapped_drop(&region);
		check_frames(SIM_BUNDLE_PAGES - n);
	}
	/* more than there is: all that was taken on the way comes back */
	assert_int_equal(mapped_create(MAPPED_DATA, n * PAGE_SIZE, &region), -ENOMEM);
	check_frames(SIM_BUNDLE_PAGES - n);
	while (n-- > 0)
		frames_free(&kept[n]);
	check_frames(SIM_BUNDLE_PAGES);
}

/* ---- failures, one after the other ---- */

struct attempt {
	enum mapped_kind kind;
	size_t pages;
	unsigned many; /* if not 0, so many at once */
};

/*
 * Lets the first, second, ... call that can fail do so, until none is left, and sees that
 * each time everything is given back. @in_gate: calls of the gate; else frames_alloc().
 */
static void sweep(struct attempt a, bool in_gate, bool from_then_on)
{
	int64_t *fail_in = in_gate ? &sim.fail_in : &sim.frames_fail_in;
	uint64_t others = sim.mapped + sim.tables_given - frames_used();
	struct mapped regions[MAPPED_MANY_MAX];
	size_t bytes[MAPPED_MANY_MAX];
	int64_t nth;

	/* every one at first, then fewer */
	for (nth = 1; nth < 100000; nth += 1 + nth / 16) {
		struct mapped region = {0};
		bool failed;
		int r;

		sim.failures = 0;
		*fail_in = nth;
		sim.frames_fail_on = from_then_on;
		if (a.many) {
			for (unsigned i = 0; i < a.many; i++)
				bytes[i] = a.pages * PAGE_SIZE;
			r = mapped_create_many(a.kind, a.many, bytes, regions);
			if (r == 0)
				mapped_drop_many(regions, a.many);
		} else if (a.kind == MAPPED_DEVICE) {
			r = mapped_create_device((paddr_t){DEVICE_PA}, a.pages * PAGE_SIZE,
						 &region);
		} else {
			r = mapped_create(a.kind, a.pages * PAGE_SIZE, &region);
		}
		failed = sim.failures > 0;
		*fail_in = 0;
		sim.frames_fail_on = false;
		mapped_drop(&region);
		assert_true(r == 0 || failed);
		assert_int_equal(region.generation, 0);
		assert_int_equal(stats().regions, 0);
		assert_int_equal(stats().pages, 0);
		check_frames(others);
		if (!failed)
			return;
		sim.tables_left = 0;
	}
	fail_msg("never ran through");
}

static void test_failures(void **state)
{
	static const struct attempt attempts[] = {
		{MAPPED_DATA, 1, 0},   {MAPPED_STACK, 4, 0},   {MAPPED_CELL, 700, 0},
		{MAPPED_DMA, 20, 0},   {MAPPED_DATA, 1300, 0}, {MAPPED_DEVICE, 1300, 0},
		{MAPPED_CELL, 7, 100},
	};
	static struct frame_run kept[RAM];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		start(RAM);
		sim.tables_left = 0;
		sweep(attempts[i], true, false);
		start(RAM);
		sim.tables_left = 0;
		sweep(attempts[i], false, false);
		start(RAM);
		sim.tables_left = 0;
		sweep(attempts[i], false, true);
		if (attempts[i].kind == MAPPED_DMA)
			continue;
		start(RAM);
		fragment(kept);
		sweep(attempts[i], true, false);
		sweep(attempts[i], false, true);
	}
}

/* Several regions at once: one call where it can be, and all or none. */
static void test_create_many(void **state)
{
	const size_t bytes[] = {1, 3 * PAGE_SIZE, PAGE_SIZE + 1, 600 * PAGE_SIZE, PAGE_SIZE};
	const size_t bad[] = {1, 0};
	struct mapped regions[ARRAY_SIZE(bytes)] = {0};
	uint64_t calls;

	(void)state;
	start(RAM);
	assert_int_equal(mapped_create_many(MAPPED_STACK, 1, bytes, regions), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_DATA, MAPPED_MANY_MAX + 1, bytes, regions),
			 -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_DATA, 2, bad, regions), -EINVAL);
	assert_int_equal(mapped_create_many(MAPPED_CELL, 0, NULL, NULL), 0);
	check_frames(SIM_BUNDLE_PAGES);
	calls = sim.calls;
	assert_int_equal(mapped_create_many(MAPPED_CELL, 3, bytes, regions), 0);
	assert_int_equal(sim.calls, calls + 1);
	assert_int_equal(stats().regions, 3);
	assert_int_equal(stats().pages, 6);
	for (unsigned i = 0; i < 3; i++) {
		memset(view(regions[i]), 0xaa, bytes[i]);
		mapped_drop(&regions[i]);
	}
	assert_int_equal(mapped_create_many(MAPPED_DATA, ARRAY_SIZE(bytes), bytes, regions), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
		assert_int_equal(*view(regions[i]), 0);
		mapped_drop(&regions[i]);
	}
	check_frames(SIM_BUNDLE_PAGES);
	/* whatever fails, nothing is left of any */
	for (int64_t n = 1;; n++) {
		int r;

		sim.fail_in = n;
		r = mapped_create_many(MAPPED_DATA, ARRAY_SIZE(bytes), bytes, regions);
		sim.fail_in = 0;
		if (r == 0)
			break;
		assert_int_equal(stats().regions, 0);
		check_frames(SIM_BUNDLE_PAGES);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++)
		mapped_drop(&regions[i]);
	for (int64_t n = 1;; n++) {
		int r;

		sim.frames_fail_in = n;
		sim.frames_fail_on = true;
		r = mapped_create_many(MAPPED_DATA, ARRAY_SIZE(bytes), bytes, regions);
		sim.frames_fail_in = 0;
		sim.frames_fail_on = false;
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(stats().regions, 0);
		check_frames(SIM_BUNDLE_PAGES);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++)
		mapped_drop(&regions[i]);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_init_failures(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		sim_boot(RAM);
		assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
		if (i == 0)
			sim.frames_fail_in = 1;
		if (i == 1)
			sim.fail_in = 1;
		if (i == 2)
			sim_handoff.window_next = GATE_CELL_WINDOW - PAGE_SIZE;
		if (i == 3)
			sim_handoff.window_next = IFACE_TABLE + PAGE_SIZE;
		if (i == 4)
			sim_handoff.dynamic_next = GATE_DYNAMIC_END;
		assert_true(sim_start(&__provide_cell_ops__mapped) < 0);
		check_frames(SIM_BUNDLE_PAGES);
	}
}

/* ---- adopting what the seed mapped ---- */

static int adopt(enum mapped_kind kind, uint64_t start_va, size_t pages, struct mapped *ret)
{
	return mapped_adopt(kind, (vaddr_t){start_va}, pages * PAGE_SIZE, ret);
}

static void test_adopt(void **state)
{
	uint64_t stack = GATE_DYNAMIC, bundle = GATE_DYNAMIC + SIM_SEED_PAGES * PAGE_SIZE;
	struct mapped a = {0}, b = {0}, c = {0}, whole = {0}, mixed[3];
	uint64_t before;

	(void)state;
	start(RAM);
	before = frames_used();
	/* text in the middle, rodata before it, the rest after it */
	assert_int_equal(adopt(MAPPED_CELL, GATE_CELL_WINDOW + 4 * PAGE_SIZE, 3, &a), 0);
	assert_int_equal(adopt(MAPPED_CELL, GATE_CELL_WINDOW, 4, &b), 0);
	assert_int_equal(
		adopt(MAPPED_CELL, GATE_CELL_WINDOW + 7 * PAGE_SIZE, SIM_SEED_PAGES - 7, &c), 0);
	assert_int_equal(stats().regions, 3);
	assert_int_equal(stats().pages, SIM_SEED_PAGES);
	/* once only, and nothing else than the seed's */
	assert_int_equal(adopt(MAPPED_CELL, GATE_CELL_WINDOW, 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DATA, sim_handoff.dynamic_next, 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DATA, bundle, SIM_BUNDLE_PAGES + 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DATA, stack + 1, 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DATA, stack, 0, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DMA, stack, 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_DATA, -4096ull, 1, &whole), -EINVAL);
	assert_int_equal(adopt(MAPPED_CELL, IFACE_TABLE, 1, &whole), -EINVAL);
	/* dropping gives the frames back that only the gate knew */
	mixed[0] = b;
	mixed[1] = create(MAPPED_DATA, 3 * PAGE_SIZE);
	mixed[2] = c;
	mapped_drop_many(mixed, 3);
	mapped_drop(&a);
	assert_int_equal(frames_used(), before - SIM_SEED_PAGES);
	/* address space and frames are one piece again */
	whole = create(MAPPED_CELL, SIM_SEED_PAGES * PAGE_SIZE);
	mapped_drop(&whole);
	/* the bundle's frames are RAM that was never ours before */
	assert_int_equal(adopt(MAPPED_DATA, bundle, SIM_BUNDLE_PAGES, &a), 0);
	mapped_drop(&a);
	assert_int_equal(frames_used(), before - SIM_SEED_PAGES);
	assert_int_equal(adopt(MAPPED_STACK, stack, SIM_SEED_PAGES, &a), 0);
	mapped_drop(&a);
	assert_int_equal(frames_used(), before - 2 * SIM_SEED_PAGES);
	check_frames(0);
}

/* ---- address space ---- */

/* The cell window is used up to its last page, and then refused. */
static void test_window_exhausted(void **state)
{
	uint64_t left = (IFACE_TABLE - GATE_CELL_WINDOW) / PAGE_SIZE - SIM_SEED_PAGES;
	struct mapped region = {0};
	uint32_t slot;

	(void)state;
	start(RAM);
	/* there is not so much RAM: without the frames */
	if (slots_lock_with(2) != 0) {
		fail();
		return;
	}
	assert_int_equal(extent_take(ARENA_WINDOW, (uint32_t)left, 0, 1, &slot), 0);
	slots_unlock();
	assert_int_equal(mapped_create(MAPPED_CELL, 1, &region), -ENOMEM);
	region = create(MAPPED_DATA, 1);
	mapped_drop(&region);
	check_frames(SIM_BUNDLE_PAGES);
}

static void test_many(void **state)
{
	static struct mapped regions[20000];
	uint64_t mapped_before = 0;

	(void)state;
	start(48000);
	sim.tables_left = 1000;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
			regions[i] = create(i % 5 ? MAPPED_DATA : MAPPED_STACK, PAGE_SIZE);
			view(regions[i])[0] = (uint8_t)i;
		}
		assert_int_equal(stats().regions, ARRAY_SIZE(regions));
		for (size_t i = ARRAY_SIZE(regions); i > 0; i--) {
			size_t k = sim_below(i);

			mapped_drop(&regions[k]);
			regions[k] = regions[i - 1];
		}
		/* what remains are the slots, and they do not become more */
		if (round == 0)
			mapped_before = sim.mapped;
		assert_int_equal(sim.mapped, mapped_before);
		assert_in_range(sim.mapped, 0, 50000 / 64);
	}
	check_frames(SIM_BUNDLE_PAGES);
}

/* ---- everything at once ---- */

#define HELD 60u

struct held {
	struct mapped region;
	struct mapped_info info;
	uint8_t fill;
	bool writable;
};

static void held_check(const struct held *h)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)h->info.start.v;
	struct mapped_info info;

	assert_int_equal(mapped_info(h->region, &info), 0);
	assert_int_equal(info.kind, h->info.kind);
	assert_true(info.start.v == h->info.start.v && info.bytes == h->info.bytes);
	if (h->info.kind == MAPPED_DEVICE)
		return;
	assert_int_equal(p[0], h->fill);
	assert_memory_equal(p, p + 1, h->info.bytes - 1);
}

static void held_create(struct held *h)
{
	size_t bytes = 1 + sim_below(sim_below(8) ? 5 * PAGE_SIZE : 300 * PAGE_SIZE);
	enum mapped_kind kind = 1 + (enum mapped_kind)sim_below(5);
	int r;

	if (kind == MAPPED_DEVICE)
		r = mapped_create_device((paddr_t){DEVICE_PA}, bytes, &h->region);
	else
		r = mapped_create(kind, bytes, &h->region);
	if (r < 0) {
		assert_int_equal(r, -ENOMEM);
		return;
	}
	assert_int_equal(mapped_info(h->region, &h->info), 0);
	h->writable = true;
	if (kind == MAPPED_DEVICE)
		return;
	assert_true(all_zero((const uint8_t *)(uintptr_t)h->info.start.v, h->info.bytes));
	h->fill = (uint8_t)sim_random();
	memset((void *)(uintptr_t)h->info.start.v, h->fill, h->info.bytes);
}

static void test_fuzz(void **state)
{
	static struct held held[HELD];
	uint64_t used;

	(void)state;
	start(2500);
	used = frames_used();
	memset(held, 0, sizeof(held));
	for (int i = 0; i < 6000; i++) {
		struct held *h = &held[sim_below(HELD)];

		if (i % 64 == 0)
			sim.tables_left = 0;
		if (!h->region.generation) {
			held_create(h);
			continue;
		}
		held_check(h);
		if (sim_below(4) == 0 && h->info.kind == MAPPED_DATA) {
			h->writable = !h->writable;
			assert_int_equal(mapped_protect(h->region, h->writable), 0);
			assert_int_equal(sim_page_writable(h->info.start.v), h->writable);
		} else {
			mapped_drop(&h->region);
		}
	}
	for (unsigned i = 0; i < HELD; i++)
		mapped_drop(&held[i].region);
	assert_int_equal(stats().regions, 0);
	assert_int_equal(stats().refused, 0);
	check_frames(SIM_BUNDLE_PAGES);
	/* apart from page tables only pages of slots were kept */
	assert_in_range(frames_used() - used - sim.tables_given, 0, 12);
}

/* Two tasks on two CPUs; each checks that nobody writes to what it holds. */
static const char *work(uint8_t fill)
{
	struct mapped region[8] = {0};

	for (int i = 0; i < 4000; i++) {
		struct mapped *r = &region[i * 7 % 8];
		size_t bytes = (1 + (size_t)i % 3) * PAGE_SIZE;
		void *p;

		if (r->generation) {
			if (mapped_view(*r, 0, PAGE_SIZE, 1, &p) < 0 || *(uint8_t *)p != fill)
				return "lost a region";
			mapped_drop(r);
		}
		if (mapped_create(i % 2 ? MAPPED_DATA : MAPPED_STACK, bytes, r) < 0)
			return "out of memory";
		if (mapped_view(*r, 0, bytes, 1, &p) < 0 || !all_zero(p, bytes))
			return "no clean region";
		memset(p, fill, bytes);
	}
	for (int i = 0; i < 8; i++)
		mapped_drop(&region[i]);
	return NULL;
}

struct worker {
	pthread_t thread;
	uint8_t fill;
	const char *complaint;
};

static void *run_worker(void *arg)
{
	struct worker *w = arg;

	w->complaint = work(w->fill);
	return NULL;
}

static void test_two_cpus(void **state)
{
	struct worker w[2] = {{.fill = 0x11}, {.fill = 0x22}};

	(void)state;
	start(RAM);
	sim.tables_left = 100;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, run_worker, &w[i]), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_null(w[i].complaint);
	}
	assert_int_equal(stats().regions, 0);
	check_frames(SIM_BUNDLE_PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_stack_has_guards),
		cmocka_unit_test(test_cell_and_dma),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_protect),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_bound_to_a_task),
		cmocka_unit_test(test_fragmented),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_create_many),
		cmocka_unit_test(test_init_failures),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_window_exhausted),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_two_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
