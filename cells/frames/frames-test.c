/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <theseus/frames.h>

extern const struct cell_ops __provide_cell_ops__frames;

#define RAM 700u /* pages */
#define FIRST (SIM_RAM_START >> PAGE_SHIFT)

static void start(uint64_t ram_pages)
{
	sim_boot(ram_pages);
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim.refused, 0);
}

static struct frames_stats stats(void)
{
	struct frames_stats s;

	frames_stats(&s);
	return s;
}

/* ---- what is free, by the test's own account ---- */

static bool model[RAM];

/* Learns what is free by taking it all. */
static void model_init(void)
{
	struct frame_run runs[RAM];
	size_t n = 0;

	memset(model, 0, sizeof(model));
	while (frames_alloc(1, 1, &runs[n]) == 0) {
		uint64_t frame = runs[n].start.v >> PAGE_SHIFT;

		assert_in_range(frame, FIRST, FIRST + RAM - 1);
		assert_false(model[frame - FIRST]);
		model[frame - FIRST] = true;
		n++;
	}
	assert_int_equal(stats().used, stats().total);
	while (n-- > 0)
		frames_free(&runs[n]);
}

static bool model_all(uint64_t at, uint64_t count, bool value)
{
	for (uint64_t i = 0; i < count; i++) {
		if (at + i >= RAM || model[at + i] != value)
			return false;
	}
	return true;
}

static bool model_has(uint64_t count, uint64_t align)
{
	for (uint64_t at = 0; at + count <= RAM; at++) {
		if ((FIRST + at) % align == 0 && model_all(at, count, true))
			return true;
	}
	return false;
}

static void model_set(struct frame_run run, bool value)
{
	uint64_t at = (run.start.v >> PAGE_SHIFT) - FIRST;

	assert_true(model_all(at, run.count, !value));
	memset(model + at, value, run.count);
}

/* ---- tests ---- */

static void test_boot(void **state)
{
	struct frame_run run = {0};

	(void)state;
	start(RAM);
	assert_int_equal(stats().total, RAM);
	assert_int_equal(stats().used, 2 * SIM_SEED_PAGES + 1);
	assert_int_equal(stats().peak, stats().used);
	assert_true(frames_dynamic_next().v == sim_handoff.dynamic_next + PAGE_SIZE);
	assert_true(sim_page_writable(sim_handoff.dynamic_next));
	model_init();
	assert_int_equal(stats().peak, RAM);
	frames_free(&run); /* none */
}

static void test_refusals(void **state)
{
	struct frame_run run = {{1}, 2};

	(void)state;
	start(RAM);
	assert_int_equal(frames_alloc(0, 1, &run), -EINVAL);
	assert_int_equal(frames_alloc(1, 0, &run), -EINVAL);
	assert_int_equal(frames_alloc(1, 3, &run), -EINVAL);
	assert_int_equal(frames_alloc(RAM, 1, &run), -ENOMEM);
	assert_int_equal(frames_alloc(UINT64_MAX, 1, &run), -ENOMEM);
	assert_int_equal(frames_alloc(1ull << 52, 1, &run), -ENOMEM);
	assert_int_equal(frames_alloc(1, 1024, &run), -ENOMEM);
	assert_int_equal(frames_alloc(1, 1ull << 63, &run), -ENOMEM);
	assert_int_equal(run.start.v, 1);
	assert_int_equal(run.count, 2);
}

/* Random runs against the model; every refusal is checked to be right. */
static void test_fuzz(void **state)
{
	static struct frame_run held[RAM];
	size_t n = 0;

	(void)state;
	start(RAM);
	model_init();
	for (int i = 0; i < 30000; i++) {
		uint64_t count = 1 + sim_below(sim_below(4) ? 6 : 90), align = 1ull << sim_below(7);

		if (n > 0 && sim_below(100) < 48) {
			size_t k = sim_below(n);
			struct frame_run part = held[k];

			/* a part from its end, or all */
			part.count = 1 + sim_below(part.count);
			held[k].count -= part.count;
			part.start.v += held[k].count * PAGE_SIZE;
			if (held[k].count == 0)
				held[k] = held[--n];
			model_set(part, true);
			frames_free(&part);
			assert_int_equal(part.count, 0);
		} else if (frames_alloc(count, align, &held[n]) == 0) {
			assert_int_equal(held[n].count, count);
			assert_int_equal((held[n].start.v >> PAGE_SHIFT) % align, 0);
			model_set(held[n++], false);
		} else {
			assert_false(model_has(count, align));
		}
	}
	while (n-- > 0)
		frames_free(&held[n]);
	assert_int_equal(stats().used, 2 * SIM_SEED_PAGES + 1);
}

static void free_run(void *run)
{
	frames_free(run);
}

static void expect_free_trap(uint64_t start_pa, uint64_t count, const char *reason)
{
	struct frame_run run = {{start_pa}, count};
	struct frames_stats before = stats(), after;

	sim_expect_trap(free_run, &run, reason);
	after = stats();
	assert_memory_equal(&before, &after, sizeof(before));
}

static void test_wrong_free(void **state)
{
	const char *unused = "frames_free: frames that are not in use";
	const char *no_run = "frames_free: not a run of frames";
	struct frame_run run, again;

	(void)state;
	start(RAM);
	assert_int_equal(frames_alloc(4, 1, &run), 0);
	again = run;
	frames_free(&run);
	expect_free_trap(again.start.v, 4, unused);
	assert_int_equal(frames_alloc(4, 1, &run), 0);
	expect_free_trap(run.start.v, 5, unused);
	expect_free_trap(run.start.v + 1, 1, no_run);
	expect_free_trap(0, 1, unused);
	expect_free_trap(sim_record.bundle.start, 1, unused);
	expect_free_trap(1ull << 40, 1, no_run);
	expect_free_trap(run.start.v, UINT64_MAX, no_run);
}

static void test_add(void **state)
{
	struct frame_run bundle = {{0}, SIM_BUNDLE_PAGES}, seed = {{SIM_RAM_START}, SIM_SEED_PAGES},
			 run;

	(void)state;
	start(RAM);
	bundle.start.v = sim_record.bundle.start;
	assert_int_equal(frames_add((struct frame_run){{SIM_RAM_START + 1}, 1}), -EINVAL);
	assert_int_equal(frames_add((struct frame_run){{SIM_RAM_START}, 0}), -EINVAL);
	assert_int_equal(frames_add((struct frame_run){{sim_record.bundle.end}, 1}), -EINVAL);
	assert_int_equal(frames_add((struct frame_run){{sim_record.bundle.start}, UINT64_MAX}),
			 -EINVAL);
	/* half known, half new */
	run = (struct frame_run){{sim_record.bundle.start - PAGE_SIZE}, 2};
	while (frames_alloc(1, 1, &seed) == 0)
		continue;
	assert_int_equal(frames_add(run), -EINVAL);
	assert_int_equal(frames_add(bundle), 0);
	assert_int_equal(frames_add(bundle), -EEXIST);
	assert_int_equal(stats().total, RAM + SIM_BUNDLE_PAGES);
	/* the seed's own, which the boot record names and which were in use */
	seed = (struct frame_run){{SIM_RAM_START}, SIM_SEED_PAGES};
	assert_int_equal(frames_add(seed), 0);
	assert_int_equal(frames_add(seed), -EEXIST);
	assert_int_equal(stats().total, RAM + SIM_BUNDLE_PAGES);
	assert_int_equal(frames_alloc(SIM_SEED_PAGES, 1, &run), 0);
	assert_true(run.start.v == SIM_RAM_START);
	assert_int_equal(frames_alloc(SIM_BUNDLE_PAGES, 1, &run), 0);
	assert_true(run.start.v == sim_record.bundle.start);
}

/* Pieces of RAM that do not touch are remembered one by one, up to a number. */
static void test_add_pieces(void **state)
{
	uint64_t start_pa, n = 0;
	int r = 0;

	(void)state;
	sim_boot(RAM);
	sim_record.bundle.end += 200 * PAGE_SIZE;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	start_pa = sim_record.bundle.start + PAGE_SIZE;
	for (; n < 90 && r == 0; n++)
		r = frames_add((struct frame_run){{start_pa + 2 * n * PAGE_SIZE}, 1});
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(n, 32);
	assert_int_equal(stats().total, RAM + 31);
	/* what joins two pieces makes room for another */
	assert_int_equal(frames_add((struct frame_run){{start_pa + PAGE_SIZE}, 1}), 0);
	assert_int_equal(frames_add((struct frame_run){{start_pa + 180 * PAGE_SIZE}, 1}), 0);
	assert_int_equal(stats().total, RAM + 33);
}

static void test_large(void **state)
{
	uint64_t pages = (GATE_PHYS_MAX >> PAGE_SHIFT) - FIRST - SIM_BUNDLE_PAGES;
	struct frame_run run, whole;

	(void)state;
	start(pages);
	assert_int_equal(frames_alloc(pages - 200, 1, &whole), 0);
	assert_int_equal(frames_alloc(1, 1024, &run), -ENOMEM);
	frames_free(&whole);
	assert_int_equal(frames_alloc(1, 1u << 20, &run), 0);
	assert_int_equal(run.start.v, 1ull << 32);
}

static void test_init_gives_tables(void **state)
{
	uint64_t used;

	(void)state;
	sim_boot(RAM);
	sim.tables_left = 0;
	sim_handoff.dynamic_next = GATE_DYNAMIC + 0x200000;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim.tables_given, 1);
	used = stats().used;
	assert_int_equal(used, 2 * SIM_SEED_PAGES + 2);
	model_init();
}

static void test_init_refusals(void **state)
{
	const struct cell_boot no_seed = {&sim_record, NULL};

	(void)state;
	sim_boot(RAM);
	assert_int_equal(__provide_cell_ops__frames.init(&no_seed), -EINVAL);
	sim_boot(RAM);
	sim_handoff.n_free = GATE_BOOT_RANGES + 1;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -EINVAL);
	sim_boot(RAM);
	sim_handoff.n_free = 0;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -ENOMEM);
	sim_boot(RAM);
	sim.fail_in = 1;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -EIO);
	sim_boot(RAM);
	sim.tables_left = 0;
	sim.fail_in = 2;
	sim_handoff.dynamic_next = GATE_DYNAMIC + 0x200000;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -EIO);
	/* free memory that the boot record does not know, or names twice */
	sim_boot(RAM);
	sim_handoff.free[1] = sim_record.bundle;
	sim_handoff.n_free = 2;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -EINVAL);
	sim_boot(RAM);
	sim_handoff.free[1] = sim_handoff.free[0];
	sim_handoff.n_free = 2;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot),          cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_fuzz),          cmocka_unit_test(test_wrong_free),
		cmocka_unit_test(test_add),           cmocka_unit_test(test_add_pieces),
		cmocka_unit_test(test_large),         cmocka_unit_test(test_init_gives_tables),
		cmocka_unit_test(test_init_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
