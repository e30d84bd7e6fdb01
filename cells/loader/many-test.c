/* SPDX-License-Identifier: MIT */
/* As many cells as the loader takes, and one more: what is found, what a swap of one touches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stage.h"
#include "state.h"
#include "stubs.h"
#include "testing/boot.h"
#include "testing/fake.h"
#include "testing/world.h"

static struct loader_report report;

static const struct edition first = {.with_base = true, .with_user = true};

/* ---- helpers ---- */

static int stage(struct blob b, struct loader_stage **ret)
{
	int r = loader_stage_create(b.p, b.n, ret, &report);

	free(b.p);
	return r;
}

static void swap(struct blob b)
{
	struct loader_stage *s;

	if (stage(b, &s) < 0)
		fail_msg("%s", report.reasons[0]);
	assert_int_equal(loader_stage_commit(s), 0);
	(void)loader_stage_finalise(s);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void load(unsigned from, unsigned to, bool gone)
{
	for (unsigned i = from; i < to; i += WORLD_CROWD_MAX)
		swap(world_crowd(i, least(to - i, WORLD_CROWD_MAX), gone));
}

static struct loader_cell cell(const char *name)
{
	struct loader_cell c;

	assert_int_equal(loader_cell_find(name, &c), 0);
	return c;
}

static struct loader_cell crowd(unsigned i)
{
	char name[CELL_NAME_MAX];

	(void)snprintf(name, sizeof(name), "crowd_%05u", i);
	return cell(name);
}

static uint64_t called(uint64_t addr)
{
	return addr + 4 + (uint64_t)(int64_t)(int32_t)fake_read(addr, 4);
}

static uint64_t add_of_base(void)
{
	struct loader_symbol s;

	assert_int_equal(loader_symbol_at("base", false, 0, &s), 0);
	return s.addr;
}

/* ---- all there is about one of them ---- */

static void check_crowd(unsigned i)
{
	struct loader_cell c = crowd(i), same;
	struct loader_location at;
	struct loader_symbol s;
	struct iface by_name, by_index;
	char name[CELL_NAME_MAX];
	struct loader_dep d;

	assert_int_equal(loader_cell_of(c.ref, &same), 0);
	assert_string_equal(same.name, c.name);
	assert_int_equal(loader_cell_at(2 + i, &same), 0);
	assert_string_equal(same.name, c.name);
	assert_int_equal(c.refs, 0);
	assert_int_equal(called(c.text + 4), add_of_base());

	assert_int_equal(loader_symbol_at(c.name, false, 0, &s), 0);
	assert_string_equal(s.name, c.name);
	assert_int_equal(s.addr, c.text);
	assert_int_equal(loader_locate(c.text + 2, &at), 0);
	assert_string_equal(at.cell, c.name);
	assert_string_equal(at.function, c.name);
	assert_int_equal(loader_locate(c.rodata, &at), -ENOENT);
	assert_int_equal(loader_rodata_at(c.rodata + 8), c.rodata_bytes - 8);
	assert_int_equal(loader_rodata_at(c.text), 0);

	assert_int_equal(iface_find("crowd_ops", c.name, &by_name), 0);
	assert_int_equal(iface_at("crowd_ops", i, name, &by_index), 0);
	assert_string_equal(name, c.name);
	assert_int_equal(by_name.slot, by_index.slot);
	assert_int_equal(slot_read(by_name.slot).cell, c.ref.id);

	/* base by link, then base and user by the interface that both provide */
	assert_int_equal(loader_dep_at(c.name, false, 0, &d), 0);
	assert_string_equal(d.cell, "base");
	assert_string_equal(d.via, "link");
	assert_int_equal(loader_dep_at(c.name, false, 1, &d), 0);
	assert_string_equal(d.cell, "base");
	assert_string_equal(d.via, "number_ops");
	assert_int_equal(loader_dep_at(c.name, false, 2, &d), 0);
	assert_string_equal(d.cell, "user");
	assert_int_equal(loader_dep_at(c.name, false, 3, &d), -ENOENT);
	assert_int_equal(loader_dep_at(c.name, true, 0, &d), -ENOENT);
}

/* Who uses base: user and the crowd by link, the crowd by its interface; each way each once. */
static void check_users_of_base(unsigned n)
{
	struct loader_dep d;

	assert_int_equal(cell("base").refs, 1 + n);
	for (unsigned i = 0; i < 1 + 2 * n; i++) {
		char name[CELL_NAME_MAX] = "user";

		assert_int_equal(loader_dep_at("base", true, i, &d), 0);
		if (i > 0)
			(void)snprintf(name, sizeof(name), "crowd_%05u", (i - 1) % n);
		assert_string_equal(d.cell, name);
		assert_string_equal(d.via, i <= n ? "link" : "number_ops");
	}
	assert_int_equal(loader_dep_at("base", true, 1 + 2 * n, &d), -ENOENT);
}

/* ---- tests ---- */

#define MANY 10000u

static void test_many(void **state)
{
	struct loader_stage *s;
	struct loader_cell c;

	(void)state;
	boot_bundle(world_bundle(&first));
	load(0, MANY, false);
	assert_int_equal(loader_cell_count(), MANY + 2);
	assert_int_equal(loader_cell_at(MANY + 2, &c), -ENOENT);
	assert_int_equal(loader_cell_find("crowd_10000", &c), -ENOENT);
	assert_int_equal(loader_cell_of((struct cell_ref){0}, &c), -ENOENT);
	assert_int_equal(loader_cell_of((struct cell_ref){IFACE_SLOTS - 1}, &c), -ENOENT);
	for (unsigned i = 0; i < MANY; i += 97)
		check_crowd(i);
	check_crowd(MANY - 1);
	check_users_of_base(MANY);

	/* one that nobody is linked to: the commit touches its own slots */
	assert_int_equal(stage(world_crowd(4711, 1, false), &s), 0);
	assert_in_range(s->patches.n, 0, 4 * 2);
	assert_int_equal(loader_stage_commit(s), 0);
	(void)loader_stage_finalise(s);
	check_crowd(4711);
	assert_int_equal(crowd(4711).generation, loader_generation());

	/* one that all are linked to: each is led to it, and to none twice */
	assert_int_equal(stage(world_bundle(&(struct edition){.with_base = true, .shift = 32}), &s),
			 0);
	assert_in_range(s->patches.n, MANY, MANY + 4 * 8);
	assert_int_equal(loader_stage_commit(s), 0);
	(void)loader_stage_finalise(s);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(called(crowd(i).text + 4), add_of_base());
	boot_end();
}

/* They go again, and what comes afterwards costs no more than it did before. */
static void test_come_and_go(void **state)
{
	uint64_t blocks = 0, pages = 0;

	(void)state;
	boot_bundle(world_bundle(&first));
	for (unsigned round = 0; round < 3; round++) {
		load(0, 1000, false);
		assert_int_equal(loader_cell_count(), 1002);
		if (round > 0)
			assert_int_equal(fake.blocks, blocks);
		if (round > 0)
			assert_int_equal(fake.pages, pages);
		blocks = fake.blocks;
		pages = fake.pages;
		load(0, 1000, true);
		assert_int_equal(loader_cell_count(), 2);
		assert_int_equal(cell("base").refs, 1);
	}
	boot_end();
}

/* Result: the reason. Nothing is changed. */
static const char *refuse(struct blob b, int error, const char *code)
{
	uint64_t blocks = fake.blocks, pages = fake.pages, generation = loader_generation();
	uint32_t n = loader_cell_count();
	struct loader_stage *s;

	assert_int_equal(stage(b, &s), error);
	assert_string_equal(report.code, code);
	assert_int_equal(fake.blocks, blocks);
	assert_int_equal(fake.pages, pages);
	assert_int_equal(loader_generation(), generation);
	assert_int_equal(loader_cell_count(), n);
	return report.reasons[0];
}

static void test_one_too_many(void **state)
{
	const unsigned room = LOADER_CELLS_MAX - 2;

	(void)state;
	boot_bundle(world_bundle(&first));
	load(0, room, false);
	assert_int_equal(loader_cell_count(), LOADER_CELLS_MAX);
	check_crowd(room - 1);
	assert_string_equal(refuse(world_crowd(room, 1, false), -EPERM, "too-many-cells"),
			    "16385 cells; 16384 are allowed");
	assert_string_equal(refuse(world_crowd(room - 1, 2, false), -EPERM, "too-many-cells"),
			    "16385 cells; 16384 are allowed");
	/* what is there may be replaced, and makes room when it goes */
	swap(world_crowd(17, 1, false));
	check_crowd(17);
	swap(world_crowd(room - 1, 1, true));
	swap(world_crowd(room, 1, false));
	assert_int_equal(loader_cell_count(), LOADER_CELLS_MAX);
	assert_int_equal(called(crowd(room).text + 4), add_of_base());
	boot_end();
}

static void test_no_slot_left(void **state)
{
	uint32_t index;

	(void)state;
	boot_bundle(world_bundle(&first));
	load(0, 10, false);
	while (slot_take(1, 0, &index) == 0)
		continue;
	assert_int_equal(slot_give(index), 0);
	/* one is free; a new cell with a table needs two */
	assert_string_equal(refuse(world_crowd(10, 1, false), -ENOSPC, "too-many-tables"),
			    "65536 slots for cells and tables are not enough");
	swap(world_crowd(9, 1, false)); /* this one has its own */
	check_crowd(9);
	boot_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_come_and_go),
		cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_no_slot_left),
	};

	return cmocka_run_group_tests_name("very many cells", tests, NULL, NULL);
}
