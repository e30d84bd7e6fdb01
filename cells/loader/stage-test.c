/* SPDX-License-Identifier: MIT */
/*
 * Bundles on their way into the namespace, on a fake gate: what a swap changes, that every
 * refusal and every failure leaves all as it was, and that many swaps cost the memory of none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <theseus/handoff.h>
#include <theseus/heap.h>

#include "stage.h"
#include "state.h"
#include "stubs.h"
#include "testing/boot.h"
#include "testing/fake.h"
#include "testing/world.h"

static struct loader_report report;

static const struct edition first = {.with_base = true, .with_user = true};

/* ---- helpers ---- */

static void boot(const struct edition *e)
{
	memset(&report, 0, sizeof(report));
	boot_bundle(world_bundle(e));
}

static int stage(const struct edition *e, struct loader_stage **ret)
{
	struct blob b = world_bundle(e);
	int r = loader_stage_create(b.p, b.n, ret, &report);

	free(b.p);
	assert_int_equal(r<0, report.n_reasons> 0);
	return r;
}

static void swap(const struct edition *e)
{
	struct loader_stage *s;

	if (stage(e, &s) < 0)
		fail_msg("%s", report.reasons[0]);
	assert_int_equal(loader_stage_commit(s), 0);
	(void)loader_stage_finalise(s);
}

static struct loader_cell cell(const char *name)
{
	struct loader_cell c;

	assert_int_equal(loader_cell_find(name, &c), 0);
	return c;
}

static uint64_t symbol(const char *cell_name, const char *name)
{
	struct loader_symbol s;

	for (uint32_t i = 0; loader_symbol_at(cell_name, false, i, &s) == 0; i++) {
		if (strcmp(s.name, name) == 0)
			return s.addr;
	}
	return 0;
}

/* Where the 32-bit call displacement at @addr leads. */
static uint64_t called(uint64_t addr)
{
	return addr + 4 + (uint64_t)(int64_t)(int32_t)fake_read(addr, 4);
}

/* All that user holds of base leads to base as it is now. */
static void check_links(void)
{
	struct loader_cell user = cell("user");
	uint64_t add = symbol("base", "base_add");

	assert_int_not_equal(add, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(called(user.text + 8 * i), add);
	assert_int_equal(fake_read(called(user.text + 4008), 8), add);
	assert_int_equal(fake_read(user.rodata + 8, 8), add);
}

struct snapshot {
	uint8_t *bytes[8];
	uint64_t addr[8], n[8];
	unsigned count;
	uint64_t blocks, pages;
};

static void keep(struct snapshot *s, uint64_t addr, uint64_t n)
{
	s->addr[s->count] = addr;
	s->n[s->count] = n;
	s->bytes[s->count++] = fake_copy(addr, n);
}

static void take_snapshot(struct snapshot *s)
{
	*s = (struct snapshot){.blocks = fake.blocks, .pages = fake.pages};
	keep(s, IFACE_TABLE, GATE_PAGE_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		struct loader_cell c = cell(i ? "user" : "base");

		keep(s, c.text, c.text_bytes);
		keep(s, c.rodata, c.rodata_bytes);
		if (c.state_bytes)
			keep(s, c.state, c.state_bytes);
	}
}

static bool same(const struct snapshot *s)
{
	bool equal = true;

	for (unsigned i = 0; i < s->count; i++)
		equal &= memcmp(s->bytes[i], machine_bytes(window_at(s->addr[i])), s->n[i]) == 0;
	return equal;
}

static void drop_snapshot(struct snapshot *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->bytes[i]);
}

/* ---- what is there after boot ---- */

static void test_boot(void **state)
{
	struct loader_location at;
	struct loader_symbol s;
	struct loader_dep d;
	struct loader_cell c;
	struct iface h;
	char name[CELL_NAME_MAX];

	(void)state;
	boot(&first);
	assert_int_equal(loader_generation(), 0);
	assert_int_equal(loader_cell_at(0, &c), 0);
	assert_string_equal(c.name, "base");
	assert_string_equal(c.version, "1.0.0");
	assert_string_equal(c.summary, "adds and waits");
	assert_int_equal(c.state_schema, 7);
	assert_int_equal(c.state_bytes, GATE_PAGE_SIZE);
	assert_int_equal(c.refs, 1);
	assert_int_equal(fake_read(c.state, 1), 0x5a);
	assert_int_equal(loader_cell_at(1, &c), 0);
	assert_string_equal(c.name, "user");
	assert_int_equal(loader_cell_at(2, &c), -ENOENT);
	assert_int_equal(loader_cell_find("nobody", &c), -ENOENT);
	check_links();

	assert_int_equal(loader_symbol_at("user", true, 0, &s), 0);
	assert_string_equal(s.name, "base_add");
	assert_string_equal(s.cell, "base");
	assert_string_equal(s.signature, "int (int, int)");
	assert_int_equal(loader_symbol_at("user", true, 2, &s), -ENOENT);
	assert_int_equal(loader_symbol_at("nobody", true, 0, &s), -ENOENT);

	assert_int_equal(loader_dep_at("base", true, 0, &d), 0);
	assert_string_equal(d.cell, "user");
	assert_string_equal(d.via, "link");
	assert_int_equal(d.n_symbols, 2);
	assert_int_equal(d.sites, 3 + 1 + 1 + 1);
	assert_int_equal(loader_dep_at("base", true, 1, &d), -ENOENT);
	assert_int_equal(loader_dep_at("base", false, 0, &d), -ENOENT);
	assert_int_equal(loader_dep_at("user", false, 0, &d), 0);
	assert_string_equal(d.cell, "base");

	assert_int_equal(iface_at("number_ops", 0, name, &h), 0);
	assert_string_equal(name, "base");
	assert_int_equal(iface_at("number_ops", 1, name, &h), 0);
	assert_string_equal(name, "user");
	assert_int_equal(iface_at("number_ops", 2, name, &h), -ENOENT);
	assert_int_equal(iface_find("number_ops", "base", &h), 0);
	assert_int_equal(fake_read((uint64_t)(uintptr_t)slot_read(h.slot).ops, 8),
			 symbol("base", "base_add"));
	assert_int_equal(slot_read(h.slot).generation, h.generation);
	assert_int_equal(slot_read(h.slot).cell, cell("base").ref.id);
	assert_int_equal(iface_find("number_ops", "nobody", &h), -ENOENT);
	/* cell_ops is reached through the cell's own slot, whose address the object was given */
	assert_int_equal(iface_find("cell_ops", "base", &h), 0);
	assert_int_equal(h.slot, cell("base").ref.id);
	assert_int_equal(fake_read((uint64_t)(uintptr_t)slot_read(h.slot).ops + 24, 8),
			 IFACE_TABLE + h.slot * sizeof(struct iface_slot));

	assert_int_equal(loader_locate(symbol("base", "base_wait") + 3, &at), 0);
	assert_string_equal(at.cell, "base");
	assert_string_equal(at.function, "base_wait");
	assert_int_equal(at.offset, 3);
	assert_int_equal(loader_locate(cell("base").text + 100, &at), 0);
	assert_string_equal(at.function, "");
	assert_int_equal(at.offset, 100);
	assert_int_equal(loader_locate(called(cell("user").text + 4000) + 2, &at), 0);
	assert_string_equal(at.function, "base_wait (stub)");
	assert_int_equal(loader_locate(cell("base").rodata, &at), -ENOENT);
	assert_int_equal(loader_locate(0, &at), -ENOENT);
	assert_int_equal(loader_locate(UINT64_MAX, &at), -ENOENT);
	boot_end();
}

/* ---- adoption ---- */

/* An edition whose slots the seed would number as the loader does. */
static const struct edition seeded = {
	.with_base = true, .with_user = true, .wait_plain = true, .without_number = true};

/* What the seed would say of what boot() made. */
static void describe(struct seed_handoff *seed)
{
	struct loader_cell c;

	*seed = (struct seed_handoff){.slots_pages = 1, .slots_used = 4};
	for (; loader_cell_at(seed->n_cells, &c) == 0; seed->n_cells++)
		seed->cells[seed->n_cells] = (struct seed_cell){.text = c.text,
								.text_bytes = c.text_bytes,
								.rodata = c.rodata,
								.rodata_bytes = c.rodata_bytes,
								.state = c.state,
								.state_bytes = c.state_bytes};
	strcpy(seed->cells[0].name, "base");
	strcpy(seed->cells[1].name, "user");
}

/* Forgets the records, keeps the memory. */
static void forget(struct namespace *ns)
{
	for (uint32_t i = 0; i < ns->n_cells; i++)
		record_free(ns->cells[i]);
	namespace_free(ns);
}

static void test_adopt(void **state)
{
	struct blob b = world_bundle(&seeded);
	struct namespace *loaded, *adopted;
	struct seed_handoff seed;

	(void)state;
	boot(&seeded);
	describe(&seed);
	loaded = loader_state()->namespace;
	memset(&report, 0, sizeof(report));
	fake_write(cell("base").state, 77,
		   1); /* the state lives: it need not be what the object says */
	if (adopt_cells(&seed, (struct slice){b.p, b.n}, &report) < 0)
		fail_msg("%s", report.reasons[0]);
	adopted = loader_state()->namespace;
	assert_ptr_not_equal(adopted, loaded);
	for (unsigned i = 0; i < 2; i++) {
		struct record *x = loaded->cells[i], *y = adopted->cells[i];

		assert_string_equal(x->name, y->name);
		assert_memory_equal(x->hash, y->hash, sizeof(x->hash));
		assert_int_equal(x->self, y->self);
		assert_int_equal(y->keeps_state, true);
		for (unsigned j = 0; j < LINK_REGIONS; j++) {
			assert_int_equal(x->regions[j].at, y->regions[j].at);
			assert_int_equal(x->regions[j].bytes, y->regions[j].bytes);
		}
		assert_int_equal(x->n_sites, y->n_sites);
		assert_memory_equal(x->sites, y->sites, x->n_sites * sizeof(x->sites[0]));
		assert_int_equal(x->n_functions, y->n_functions);
		for (uint32_t j = 0; j < x->n_functions; j++)
			assert_int_equal(x->functions[j].at, y->functions[j].at);
		for (uint32_t j = 0; j < x->n_exports; j++)
			assert_int_equal(x->exports[j].at, y->exports[j].at);
		for (uint32_t j = 0; j < x->n_provides; j++)
			assert_int_equal(x->provides[j].slot, y->provides[j].slot);
	}
	forget(loaded);
	/* and it can be swapped like any other */
	swap(&(struct edition){
		.with_base = true, .wait_plain = true, .without_number = true, .shift = 32});
	check_links();
	assert_int_equal(fake_read(cell("base").state, 1), 77);
	boot_end();
	free(b.p);
}

static void refuse_adoption(uint64_t addr, struct seed_handoff *seed, const char *text)
{
	struct blob b = world_bundle(&seeded);

	boot(&seeded);
	if (seed->n_cells == 0)
		describe(seed);
	if (addr) {
		uint8_t *bytes = machine_bytes(window_at(addr));

		fake_poke(addr, *bytes ^ 1);
	}
	memset(&report, 0, sizeof(report));
	assert_int_equal(adopt_cells(seed, (struct slice){b.p, b.n}, &report) < 0, true);
	if (!strstr(report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", report.reasons[0], text);
	free(b.p);
}

static void test_adopt_refusals(void **state)
{
	struct seed_handoff seed = {0};

	(void)state;
	boot(&seeded);
	describe(&seed);
	refuse_adoption(cell("user").text + 8, &seed, "user: text at");
	refuse_adoption(cell("user").rodata + 8, &seed, "user: data at");
	refuse_adoption(called(cell("user").text + 4008), &seed, "user: the GOT at");
	seed.cells[1].text += GATE_PAGE_SIZE;
	refuse_adoption(0, &seed, "user");
	describe(&seed);
	strcpy(seed.cells[1].name, "nobody");
	refuse_adoption(0, &seed, "has 1 of the seed's 2 cells");
	describe(&seed);
	seed.slots_used = 3;
	refuse_adoption(0, &seed, "user: not as the seed says");
	fake_start(); /* a failed adoption leaves everything behind: the boot ends there */
}

/* ---- swaps ---- */

static void test_swap(void **state)
{
	struct loader_location at;
	struct loader_stage *s;
	struct loader_change c;
	struct loader_cell old, now, user;
	struct snapshot snapshot;
	struct iface h;
	uint64_t start, end, stub;

	(void)state;
	boot(&first);
	old = cell("base");
	user = cell("user");
	stub = called(user.text + 4000);
	assert_int_equal(iface_find("number_ops", "base", &h), 0);
	fake_write(old.state, 99, 8);
	take_snapshot(&snapshot);

	assert_int_equal(stage(&(struct edition){.with_base = true,
						 .version = "2.0.0",
						 .shift = 64,
						 .grants = GATE_GRANT_PORT},
			       &s),
			 0);
	assert_true(same(&snapshot));
	assert_int_equal(loader_stage_check(s, &report), 0);
	assert_int_equal(loader_stage_change(s, 0, &c), 0);
	assert_string_equal(c.name, "base");
	assert_string_equal(c.old_version, "1.0.0");
	assert_string_equal(c.new_version, "2.0.0");
	assert_int_equal(c.old_grants, 0);
	assert_int_equal(c.new_grants, GATE_GRANT_PORT);
	assert_int_equal(loader_stage_change(s, 1, &c), -ENOENT);
	assert_int_equal(loader_generation(), 0);

	assert_int_equal(loader_stage_commit(s), 0);
	assert_int_equal(loader_generation(), 1);
	now = cell("base");
	assert_string_equal(now.version, "2.0.0");
	assert_int_equal(now.generation, 1);
	assert_int_equal(now.ref.id, old.ref.id);
	assert_int_equal(now.grants, GATE_GRANT_PORT);
	assert_int_equal(now.state, old.state);
	assert_int_equal(fake_read(now.state, 8), 99);
	assert_int_not_equal(now.text, old.text);
	check_links();
	assert_int_equal(called(user.text + 4000), stub);
	/* the handle that was given out before leads to the new table */
	assert_int_equal(slot_read(h.slot).generation, h.generation);
	assert_int_equal((uint64_t)(uintptr_t)slot_read(h.slot).ops, now.rodata + 64 + 16);
	/* until it is finalised, the old code is there and has a name */
	assert_true(fake_is_mapped(old.text));
	assert_int_equal(loader_locate(old.text, &at), 0);
	assert_string_equal(at.function, "base_add");
	assert_int_equal(loader_stage_old_range(s, 0, &start, &end), 0);
	assert_int_equal(start, old.text);
	assert_int_equal(end, old.text + old.text_bytes);
	assert_int_equal(loader_stage_old_range(s, 1, &start, &end), 0);
	assert_int_equal(start, old.rodata);
	assert_int_equal(loader_stage_old_range(s, 2, &start, &end), -ENOENT);
	assert_int_equal(loader_stage_finalise(s), 2 * GATE_PAGE_SIZE);
	assert_false(fake_is_mapped(old.text));
	assert_int_equal(loader_locate(old.text, &at), -ENOENT);
	assert_int_equal(fake.blocks, snapshot.blocks);
	assert_int_equal(fake.pages, snapshot.pages);
	drop_snapshot(&snapshot);
	boot_end();
}

/* Both cells at once, and the user alone: whoever refers to whom, links are right. */
static void test_swap_others(void **state)
{
	struct loader_cell before;

	(void)state;
	boot(&first);
	before = cell("base");
	swap(&(struct edition){.with_user = true, .version = "2.0.0"});
	check_links();
	assert_int_equal(cell("base").text, before.text);
	assert_string_equal(cell("user").version, "2.0.0");
	swap(&(struct edition){
		.with_base = true, .with_user = true, .version = "3.0.0", .shift = 128});
	check_links();
	assert_int_equal(loader_generation(), 2);
	boot_end();
}

static void test_thousand_swaps(void **state)
{
	uint64_t blocks = 0, pages = 0;

	(void)state;
	boot(&first);
	for (unsigned i = 0; i < 1000; i++) {
		swap(&(struct edition){.with_base = true, .shift = i % 2 * 48});
		if (i == 1) {
			blocks = fake.blocks;
			pages = fake.pages;
		}
	}
	check_links();
	assert_int_equal(loader_generation(), 1000);
	assert_int_equal(fake.blocks, blocks);
	assert_int_equal(fake.pages, pages);
	boot_end();
}

/* All that tasks may be in is still there and found, but not what runs. */
static void test_quarantine(void **state)
{
	struct loader_cell old, listed;
	struct loader_location at;
	struct loader_stage *s;
	uint64_t add, blocks, pages;

	(void)state;
	boot(&first);
	swap(&(struct edition){.with_base = true, .shift = 48});
	blocks = fake.blocks;
	pages = fake.pages;
	old = cell("base");
	add = symbol("base", "base_add");
	assert_int_equal(stage(&(struct edition){.with_base = true, .version = "2"}, &s), 0);
	assert_int_equal(loader_stage_commit(s), 0);
	loader_stage_quarantine(s);
	assert_ptr_equal(loader_quarantined_stage(0), s);
	assert_null(loader_quarantined_stage(1));
	assert_int_equal(loader_quarantined_at(0, &listed), 0);
	assert_string_equal(listed.name, "base");
	assert_string_equal(listed.version, old.version);
	assert_int_equal(listed.text, old.text);
	assert_int_equal(loader_quarantined_at(1, &listed), -ENOENT);

	/* another swap of the same cell goes by it */
	swap(&(struct edition){.with_base = true, .version = "3", .shift = 48});
	assert_int_equal(loader_generation(), 3);
	check_links();
	assert_int_not_equal(cell("base").text, old.text);
	assert_true(fake_is_mapped(old.text) && fake_is_mapped(old.rodata));
	assert_int_equal(loader_locate(add, &at), 0);
	assert_string_equal(at.function, "base_add");
	assert_int_equal(loader_rodata_at(old.rodata + 8), old.rodata_bytes - 8);

	assert_false(loader_stage_needed(s));
	assert_int_equal(loader_stage_finalise(s), 2 * GATE_PAGE_SIZE);
	assert_null(loader_quarantined_stage(0));
	assert_int_equal(loader_quarantined_at(0, &listed), -ENOENT);
	assert_int_equal(loader_locate(add, &at), -ENOENT);
	assert_false(fake_is_mapped(old.text));
	assert_int_equal(fake.blocks, blocks);
	assert_int_equal(fake.pages, pages);
	boot_end();
}

/* What is in quarantine calls what it was linked to, so that stays for as long. */
static void test_quarantine_needs(void **state)
{
	struct loader_stage *user, *base;

	(void)state;
	boot(&first);
	assert_int_equal(stage(&(struct edition){.with_user = true, .version = "2"}, &user), 0);
	assert_int_equal(loader_stage_commit(user), 0);
	loader_stage_quarantine(user);
	assert_int_equal(stage(&(struct edition){.with_base = true, .version = "2", .shift = 48}, &base), 0);
	assert_int_equal(loader_stage_commit(base), 0);
	assert_true(loader_stage_needed(base));
	assert_false(loader_stage_needed(user));
	loader_stage_quarantine(base);
	assert_ptr_equal(loader_quarantined_stage(0), user);
	assert_ptr_equal(loader_quarantined_stage(1), base);
	assert_true(loader_stage_needed(base));
	(void)loader_stage_finalise(user);
	assert_false(loader_stage_needed(base));
	(void)loader_stage_finalise(base);
	check_links();
	boot_end();
}

/* A stub that leaves with its export is not given to another while somebody is in it. */
static void test_quarantine_stub(void **state)
{
	uint64_t start, end, stub;
	struct loader_stage *s;
	uint32_t unused;

	(void)state;
	boot(&(struct edition){.with_base = true, .second_wait = true});
	stub = window_addr(record_find_blocking(loader_state()->namespace->cells[0], "base_rest")->stub_at);
	assert_int_equal(stage(&(struct edition){.with_base = true, .version = "2"}, &s), 0);
	assert_int_equal(loader_stage_old_range(s, 2, &start, &end), 0);
	assert_int_equal(start, stub);
	assert_int_equal(end, stub + STUB_BYTES);
	assert_int_equal(loader_stage_old_range(s, 3, &start, &end), -ENOENT);
	assert_int_equal(loader_stage_commit(s), 0);
	loader_stage_quarantine(s);
	assert_int_equal(loader_stage_old_range(s, 2, &start, &end), 0);
	assert_int_equal(start, stub);
	assert_int_equal(loader_stage_old_range(s, 3, &start, &end), -ENOENT);
	assert_true(stub_locate(window_at(stub), &unused, &unused));
	(void)loader_stage_finalise(s);
	assert_false(stub_locate(window_at(stub), &unused, &unused));
	boot_end();
}

/* What was taken back may have been entered meanwhile: it goes when it was left. */
static void test_revert_and_quarantine(void **state)
{
	struct snapshot snapshot;
	struct loader_stage *s;
	struct loader_cell new;
	uint64_t start, end;

	(void)state;
	boot(&first);
	take_snapshot(&snapshot);
	assert_int_equal(stage(&(struct edition){.with_base = true, .with_other = true, .version = "2",
						 .shift = 16},
			       &s),
			 0);
	assert_int_equal(loader_stage_old_range(s, 0, &start, &end), 0);
	assert_int_equal(start, cell("base").text);
	assert_int_equal(loader_stage_commit(s), 0);
	new = cell("base");
	assert_int_equal(loader_stage_revert(s), 0);
	assert_int_equal(loader_stage_old_range(s, 0, &start, &end), 0);
	assert_int_equal(start, new.text);
	loader_stage_quarantine(s);
	check_links();
	assert_true(fake_is_mapped(new.text));
	assert_int_equal(loader_quarantined_at(0, &new), 0);
	assert_string_equal(new.version, "2");
	assert_true(loader_stage_finalise(s) >= 2 * GATE_PAGE_SIZE);
	assert_int_equal(fake.blocks, snapshot.blocks);
	assert_int_equal(fake.pages, snapshot.pages);
	check_links();
	drop_snapshot(&snapshot);
	boot_end();
}

static void test_revert(void **state)
{
	struct snapshot snapshot;
	struct loader_stage *s;

	(void)state;
	boot(&first);
	take_snapshot(&snapshot);
	assert_int_equal(
		stage(&(struct edition){.with_base = true, .version = "2", .shift = 16}, &s), 0);
	assert_int_equal(loader_stage_revert(s), -ESTALE);
	assert_int_equal(loader_stage_commit(s), 0);
	assert_int_equal(loader_stage_commit(s), -ESTALE);
	assert_int_equal(loader_stage_revert(s), 0);
	assert_true(same(&snapshot));
	assert_int_equal(loader_generation(), 0);
	assert_string_equal(cell("base").version, "1.0.0");
	assert_int_equal(loader_stage_commit(s), 0);
	check_links();
	assert_int_equal(loader_stage_revert(s), 0);
	loader_stage_drop(s);
	assert_int_equal(fake.blocks, snapshot.blocks);
	assert_int_equal(fake.pages, snapshot.pages);
	drop_snapshot(&snapshot);
	boot_end();
}

/* A commit of several batches of patches, each of which fails once. */
static void test_patch_failures(void **state)
{
	const struct edition many = {.with_base = true, .with_user = true, .calls = 300};
	struct snapshot snapshot;
	struct loader_stage *s;
	unsigned failed = 0;

	(void)state;
	boot(&many);
	take_snapshot(&snapshot);
	assert_int_equal(stage(&(struct edition){.with_base = true, .shift = 16}, &s), 0);
	for (int64_t n = 1;; n++) {
		int r;

		fake.patch_fail_in = n;
		r = loader_stage_commit(s);
		fake.patch_fail_in = 0;
		if (r == 0)
			break;
		failed++;
		assert_int_equal(r, -EPERM);
		assert_true(same(&snapshot));
		assert_int_equal(loader_generation(), 0);
	}
	assert_true(failed >= 5);
	check_links();
	/* the way back in batches, too */
	for (int64_t n = 1; n <= failed; n++) {
		fake.patch_fail_in = n;
		assert_int_equal(loader_stage_revert(s), -EPERM);
		assert_int_equal(loader_generation(), 1);
		check_links();
	}
	assert_int_equal(loader_stage_revert(s), 0);
	assert_true(same(&snapshot));
	assert_int_equal(loader_stage_commit(s), 0);
	(void)loader_stage_finalise(s);
	drop_snapshot(&snapshot);
	boot_end();
}

/* Somebody changed the text meanwhile: the commit sees it and changes nothing. */
static void test_stale_text(void **state)
{
	struct snapshot snapshot;
	struct loader_stage *s;
	uint64_t site;

	(void)state;
	boot(&first);
	assert_int_equal(stage(&(struct edition){.with_base = true, .shift = 16}, &s), 0);
	site = cell("user").text + 8;
	fake_poke(site, 0x77);
	take_snapshot(&snapshot);
	assert_int_equal(loader_stage_commit(s), -ESTALE);
	assert_true(same(&snapshot));
	assert_int_equal(loader_generation(), 0);
	loader_stage_drop(s);
	drop_snapshot(&snapshot);
	boot_end();
}

static uint32_t stub_pages(void)
{
	uint32_t n = 0;

	for (const struct stub_block *p = loader_state()->stubs; p; p = p->next)
		n++;
	return n;
}

/* The n-th call of something fails, for every n: nothing is left, nothing is changed. */
static void sweep(int64_t *counter, const struct edition *e)
{
	struct snapshot snapshot;
	struct loader_stage *s;
	unsigned failed = 0;

	boot(&first);
	take_snapshot(&snapshot);
	for (int64_t n = 1;; n++) {
		uint32_t stubs;
		int r;

		*counter = n;
		r = stage(e, &s);
		*counter = 0;
		if (r == 0)
			break;
		failed++;
		stubs = stub_pages() - 1;
		assert_int_equal(fake.blocks, snapshot.blocks + stubs);
		assert_int_equal(fake.pages, snapshot.pages + stubs);
		assert_int_equal(cell("base").generation, 0);
		check_links();
	}
	assert_true(failed > 0);
	loader_stage_drop(s);
	assert_int_equal(fake.blocks, snapshot.blocks + stub_pages() - 1);
	swap(e);
	drop_snapshot(&snapshot);
	boot_end();
}

static void test_stage_failures(void **state)
{
	const struct edition all = {.with_base = true,
				    .with_user = true,
				    .with_other = true,
				    .second_wait = true,
				    .version = "2"};
	int64_t *const counters[] = {&fake.heap_fail_in, &fake.map_fail_in, &fake.seal_fail_in,
				     &fake.patch_fail_in};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		sweep(counters[i], &all);
}

/* ---- slots and stubs ---- */

static void test_provides(void **state)
{
	char name[CELL_NAME_MAX];
	struct iface h, again;

	(void)state;
	boot(&first);
	assert_int_equal(iface_find("number_ops", "base", &h), 0);
	swap(&(struct edition){.with_base = true, .version = "2", .without_number = true});
	assert_int_equal(iface_find("number_ops", "base", &again), -ENOENT);
	assert_int_equal(iface_at("number_ops", 0, name, &again), 0);
	assert_string_equal(name, "user");
	assert_null(slot_read(h.slot).ops);
	assert_int_not_equal(slot_read(h.slot).generation, h.generation);
	/* it comes back with another handle, maybe in the same slot */
	swap(&(struct edition){.with_base = true, .version = "3"});
	assert_int_equal(iface_find("number_ops", "base", &again), 0);
	assert_true(again.slot != h.slot || again.generation != h.generation);
	boot_end();
}

static void test_slot_pages(void **state)
{
	uint32_t index, n = 0;

	(void)state;
	boot(&first);
	/* the first page runs out, the next is mapped and sealed, the table ends */
	while (slot_take(1, 0, &index) == 0)
		n++;
	assert_int_equal(index, IFACE_SLOTS - 1);
	assert_int_equal(loader_state()->slot_pages,
			 IFACE_SLOTS * sizeof(struct iface_slot) / PAGE_SIZE);
	assert_true(n > IFACE_SLOTS - 100);
	assert_int_equal(slot_give(index), 0);
	assert_int_equal(slot_take(1, 0, &index), 0);
	assert_int_equal(slot_read(index).generation, 2);
	boot_end();
}

static struct {
	unsigned calls;
	uint64_t seen[6];
	int64_t results[3];
} stubbed;

static int64_t called_by_stub(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
			      uint64_t f)
{
	const uint64_t args[6] = {a, b, c, d, e, f};

	memcpy(stubbed.seen, args, sizeof(args));
	return stubbed.results[stubbed.calls++];
}

typedef int64_t (*stub_fn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* Runs a stub as it lies in memory, with a function of this process in its slot. */
static void run_stub(uint64_t stub, int64_t first_result, unsigned calls)
{
	const struct record_export *e = NULL;
	stub_fn fn = (stub_fn)(uintptr_t)fake_code(stub);

	for (uint32_t i = 0; i < loader_state()->namespace->n_exports; i++) {
		e = namespace_export(loader_state()->namespace, i);
		if (e->blocking && window_addr(e->stub_at) == stub)
			break;
	}
	fake_poke_word(IFACE_TABLE + e->slot * sizeof(struct iface_slot),
		       (uint64_t)(uintptr_t)called_by_stub);
	stubbed.calls = 0;
	stubbed.results[0] = first_result;
	stubbed.results[1] = calls == 3 ? first_result : 5;
	stubbed.results[2] = 6;
	(void)fn(1, 2, 3, 4, 5, 6);
	assert_int_equal(stubbed.calls, calls);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(stubbed.seen[i], i + 1);
}

static void test_stubs(void **state)
{
	const struct edition two = {.with_base = true, .with_user = true, .second_wait = true};
	const struct record_export *wait, *rest;
	const struct record *base;

	(void)state;
	boot(&two);
	base = loader_state()->namespace->cells[0];
	wait = record_find_export(base, "base_wait");
	rest = record_find_export(base, "base_rest");
	assert_int_equal((uint64_t)(uintptr_t)slot_read(wait->slot).ops,
			 symbol("base", "base_wait"));
	assert_int_equal(called(cell("user").text + 4000), window_addr(wait->stub_at));
	/* an int counts with its 32 bits, an int64_t with all */
	run_stub(window_addr(wait->stub_at), -ERESTART_CELL, 3);
	run_stub(window_addr(wait->stub_at), 0xfffffe00, 2);
	run_stub(window_addr(wait->stub_at), 0, 1);
	run_stub(window_addr(rest->stub_at), -ERESTART_CELL, 3);
	run_stub(window_addr(rest->stub_at), 0xfffffe00, 1);
	boot_end();
}

static void test_stub_swaps(void **state)
{
	uint64_t stub, other;

	(void)state;
	boot(&first);
	stub = called(cell("user").text + 4000);
	/* the export is no longer blocking: callers link to it directly */
	swap(&(struct edition){.with_base = true, .wait_plain = true, .version = "2"});
	assert_int_equal(called(cell("user").text + 4000), symbol("base", "base_wait"));
	assert_int_equal(loader_locate(stub, &(struct loader_location){{0}}), -ENOENT);
	/* and blocking again, with a second one: stubs are made by patches in the sealed page */
	swap(&(struct edition){.with_base = true, .second_wait = true, .version = "3"});
	other = called(cell("user").text + 4000);
	assert_int_equal(other, stub);
	assert_int_equal(stub_pages(), 1);
	run_stub(other, -ERESTART_CELL, 3);
	boot_end();
}

/* ---- cells that come and go ---- */

static void test_new_and_gone(void **state)
{
	struct loader_change c;
	struct loader_stage *s;
	struct loader_cell other;
	uint64_t pages;

	(void)state;
	boot(&first);
	pages = fake.pages;
	swap(&(struct edition){.with_other = true});
	other = cell("other");
	assert_int_equal(other.generation, 1);
	assert_int_equal(other.text_bytes, GATE_PAGE_SIZE);
	assert_int_equal(slot_read(other.ref.id).cell, other.ref.id);
	assert_int_equal(stage(&(struct edition){.obsolete = "other"}, &s), 0);
	assert_int_equal(loader_stage_change(s, 0, &c), 0);
	assert_string_equal(c.old_version, "1.0.0");
	assert_string_equal(c.new_version, "");
	assert_int_equal(loader_stage_commit(s), 0);
	assert_int_equal(loader_stage_init(s), 0);
	assert_int_equal(loader_stage_finalise(s), GATE_PAGE_SIZE);
	assert_int_equal(loader_cell_find("other", &other), -ENOENT);
	assert_int_equal(slot_read(other.ref.id).cell, 0);
	assert_int_equal(fake.pages, pages);
	boot_end();
}

/* ---- refusals ---- */

static void refuse(const struct edition *e, int error, const char *code, const char *text)
{
	uint64_t blocks = fake.blocks, pages = fake.pages;
	struct loader_stage *s;

	assert_int_equal(stage(e, &s), error);
	assert_string_equal(report.code, code);
	if (!strstr(report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", report.reasons[0], text);
	assert_int_equal(fake.blocks, blocks);
	assert_int_equal(fake.pages, pages);
	check_links();
}

static void test_refusals(void **state)
{
	(void)state;
	boot(&first);
	refuse(&(struct edition){.with_base = true, .add_abi = 5}, -EPERM, "abi-mismatch",
	       "base_add: user was built for another type [b]; base_add of base has long (long) "
	       "[5]");
	refuse(&(struct edition){.with_user = true, .import_abi = 6}, -EPERM, "abi-mismatch",
	       "base_add: user was built for another type [6]; base_add of base has int (int, int) "
	       "[b]");
	refuse(&(struct edition){.with_base = true, .without_add = true}, -EPERM, "missing-symbol",
	       "user: nobody exports base_add");
	refuse(&(struct edition){.with_user = true, .missing_import = true}, -EPERM,
	       "missing-symbol", "user: nobody exports nobodys");
	refuse(&(struct edition){.with_other = true, .other_exports_add = true}, -EPERM,
	       "duplicate-symbol", "base_add is exported by");
	refuse(&(struct edition){.with_base = true, .schema = 8}, -EPERM, "schema-mismatch",
	       "base: state of 1.0.0 is [7] struct base_state; 1.0.0 has [8]");
	refuse(&(struct edition){.with_base = true, .schema = UINT64_MAX}, -EPERM,
	       "schema-mismatch", "base");
	refuse(&(struct edition){.with_base = true, .number_abi = 9}, -EPERM, "abi-mismatch",
	       "number_ops: user has struct number_ops as [2], base has it as [9]");
	refuse(&(struct edition){.with_user = true, .undeclared = true}, -EINVAL,
	       "undeclared-import", "user: uses base_wait");
	refuse(&(struct edition){.with_user = true, .far_addend = true}, -EINVAL,
	       "relocation-range", "user: a reference to base_add is too far off");
	refuse(&(struct edition){.with_base = true, .sdk_abi = 99}, -EINVAL, "sdk-mismatch",
	       "built with SDK ABI 99");
	refuse(&(struct edition){.with_base = true, .grants = 1 << 10}, -EINVAL, "bad-manifest",
	       "gate calls that do not exist");
	refuse(&(struct edition){.with_base = true, .wrong_hash = true}, -EINVAL, "bad-hash",
	       "base");
	refuse(&(struct edition){.with_base = true, .wrong_size = true}, -EINVAL, "bad-archive",
	       "the manifest says");
	refuse(&(struct edition){.with_base = true, .no_member = true}, -EINVAL, "bad-archive",
	       "no member elsewhere");
	refuse(&(struct edition){.with_base = true, .no_symbol = true}, -EINVAL, "missing-symbol",
	       "names the function base_add, which the object does not define");
	refuse(&(struct edition){.with_base = true, .two_symbols = true}, -EINVAL,
	       "duplicate-symbol", "base_add is defined more than once");
	refuse(&(struct edition){.obsolete = "base"}, -EPERM, "missing-symbol",
	       "user: nobody exports");
	refuse(&(struct edition){.obsolete = "nobody"}, -EPERM, "bad-manifest", "is not there");
	refuse(&(struct edition){.with_base = true, .obsolete = "base"}, -EPERM, "bad-manifest",
	       "the same bundle brings it");
	boot_end();
}

static void test_all_reasons(void **state)
{
	struct loader_stage *s;

	(void)state;
	boot(&first);
	assert_int_equal(stage(&(struct edition){.with_base = true,
						 .with_user = true,
						 .schema = 8,
						 .add_abi = 5,
						 .missing_import = true,
						 .number_abi = 9},
			       &s),
			 -EPERM);
	assert_int_equal(report.n_reasons, 4);
	boot_end();
}

static void test_no_bundle(void **state)
{
	struct blob ar = build_ar_begin();
	struct loader_stage *s;

	(void)state;
	boot(&first);
	assert_int_equal(loader_stage_create("nonsense", 8, &s, &report), -EINVAL);
	assert_string_equal(report.code, "bad-archive");
	build_ar_add(&ar, "something/", "x", 1);
	assert_int_equal(loader_stage_create(ar.p, ar.n, &s, &report), -EINVAL);
	assert_string_equal(report.code, "bad-archive");
	assert_non_null(strstr(report.reasons[0], "manifest.pb"));
	free(ar.p);
	ar = build_ar_begin();
	build_ar_add(&ar, "manifest.pb/", "", 2);
	assert_int_equal(loader_stage_create(ar.p, ar.n, &s, &report), -EINVAL);
	assert_string_equal(report.code, "bad-manifest");
	free(ar.p);
	boot_end();
}

static void test_busy(void **state)
{
	struct loader_stage *s, *second;

	(void)state;
	boot(&first);
	assert_int_equal(stage(&(struct edition){.with_base = true}, &s), 0);
	assert_int_equal(stage(&(struct edition){.with_user = true}, &second), -EBUSY);
	assert_string_equal(report.code, "busy");
	loader_stage_drop(s);
	loader_stage_drop(NULL);
	assert_int_equal(stage(&(struct edition){.with_user = true}, &second), 0);
	assert_int_equal(loader_stage_commit(second), 0);
	assert_int_equal(loader_stage_check(second, &report), -EPERM);
	assert_string_equal(report.code, "stale-stage");
	(void)loader_stage_finalise(second);
	check_links();
	boot_end();
}

/* ---- restart ---- */

#define HOLD (GATE_CELL_WINDOW + 0x123450)

static void *wait_ops(const struct record *base)
{
	const struct record_export *wait = record_find_export(base, "base_wait");

	return (void *)(uintptr_t)slot_read(wait->slot).ops;
}

static void test_restart(void **state)
{
	struct loader_restart *restart, *second;
	struct loader_stage *s;
	struct record *base;
	uint64_t at, start, end, blocks;
	void *ops;

	(void)state;
	boot(&first);
	base = loader_state()->namespace->cells[0];
	at = window_addr(base->regions[LINK_STATE].at);
	ops = wait_ops(base);
	base->restart = CELL_RESTART_ALWAYS;
	fake_write(at, 77, 8);
	blocks = fake.blocks;
	assert_int_equal(loader_restart_create("base", HOLD, &restart, &report), 0);
	assert_int_equal(loader_restart_create("base", HOLD, &second, &report), -EBUSY);
	assert_string_equal(report.code, "busy");
	assert_int_equal(stage(&first, &s), -EBUSY);
	loader_restart_range(restart, &start, &end);
	assert_int_equal(start, cell("base").text);
	assert_int_equal(end, cell("base").text + cell("base").text_bytes);
	assert_ptr_equal(wait_ops(base), ops);
	assert_int_equal(loader_restart_hold(restart), 0);
	assert_int_equal((uintptr_t)wait_ops(base), HOLD);
	loader_restart_reset(restart);
	assert_int_equal(fake_read(at, 8), 0);
	loader_restart_undo(restart);
	assert_int_equal(fake_read(at, 8), 77);
	loader_restart_drop(restart);
	assert_ptr_equal(wait_ops(base), ops);
	assert_int_equal(fake.blocks, blocks);
	loader_restart_drop(NULL);
	boot_end();
}

/* Who restarts user runs on base, which looks up what user provides: base is not held for it. */
static void test_restart_holds_nobody_it_needs(void **state)
{
	static const struct edition e = {.with_base = true, .with_user = true, .seeks = true};
	struct loader_restart *restart;
	const struct record *base;
	void *ops;

	(void)state;
	boot(&e);
	base = loader_state()->namespace->cells[0];
	ops = wait_ops(base);
	loader_state()->namespace->cells[1]->restart = CELL_RESTART_ALWAYS;
	for (unsigned needed = 0; needed <= 1; needed++) {
		uint64_t hold = needed ? cell("user").text + 8 : HOLD;

		assert_int_equal(loader_restart_create("user", hold, &restart, &report), 0);
		assert_int_equal(loader_restart_hold(restart), 0);
		assert_int_equal((uintptr_t)wait_ops(base), needed ? (uintptr_t)ops : HOLD);
		loader_restart_drop(restart);
		assert_ptr_equal(wait_ops(base), ops);
	}
	boot_end();
}

/* The state that a cell was linked with comes back, also in a version that took one over. */
static void test_restart_initial(void **state)
{
	struct edition e = {.with_base = true, .with_user = true, .restartable = true};
	struct loader_restart *restart;
	struct loader_stage *s;
	uint64_t at;

	(void)state;
	boot(&e);
	for (unsigned version = 1; version <= 2; version++) {
		at = window_addr(loader_state()->namespace->cells[0]->regions[LINK_STATE].at);
		fake_write(at, 0, 8);
		assert_int_equal(loader_restart_create("base", HOLD, &restart, &report), 0);
		loader_restart_reset(restart);
		assert_int_equal(fake_read(at, 8), 0x5a);
		loader_restart_drop(restart);
		fake_write(at, 99, 8);
		e.version = "2";
		e.with_user = false;
		assert_int_equal(stage(&e, &s), 0);
		assert_int_equal(loader_stage_commit(s), 0);
		(void)loader_stage_finalise(s);
		assert_int_equal(fake_read(at, 8), 99);
	}
	boot_end();
}

static void test_restart_refusals(void **state)
{
	struct loader_restart *restart;
	uint64_t blocks;
	void *ops;
	int r;

	(void)state;
	boot(&first);
	assert_int_equal(loader_restart_create("none", HOLD, &restart, &report), -ENOENT);
	assert_string_equal(report.code, "no-such-cell");
	assert_int_equal(loader_restart_create("base", HOLD, &restart, &report), -EPERM);
	assert_string_equal(report.code, "never-restarted");
	loader_state()->namespace->cells[0]->restart = CELL_RESTART_ALWAYS;
	ops = wait_ops(loader_state()->namespace->cells[0]);
	blocks = fake.blocks;
	for (int64_t nth = 1;; nth++) {
		fake.heap_fail_in = nth;
		r = loader_restart_create("base", HOLD, &restart, &report);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_string_equal(report.code, "no-memory");
		assert_int_equal(fake.blocks, blocks);
	}
	fake.heap_fail_in = 0;
	fake.patch_fail_in = 1;
	assert_true(loader_restart_hold(restart) < 0);
	assert_ptr_equal(wait_ops(loader_state()->namespace->cells[0]), ops);
	loader_restart_drop(restart);
	assert_ptr_equal(wait_ops(loader_state()->namespace->cells[0]), ops);
	assert_int_equal(fake.blocks, blocks);
	boot_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_refusals),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_swap_others),
		cmocka_unit_test(test_thousand_swaps),
		cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_quarantine_needs),
		cmocka_unit_test(test_quarantine_stub),
		cmocka_unit_test(test_revert_and_quarantine),
		cmocka_unit_test(test_revert),
		cmocka_unit_test(test_patch_failures),
		cmocka_unit_test(test_stale_text),
		cmocka_unit_test(test_stage_failures),
		cmocka_unit_test(test_provides),
		cmocka_unit_test(test_slot_pages),
		cmocka_unit_test(test_stubs),
		cmocka_unit_test(test_stub_swaps),
		cmocka_unit_test(test_new_and_gone),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_all_reasons),
		cmocka_unit_test(test_no_bundle),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_holds_nobody_it_needs),
		cmocka_unit_test(test_restart_refusals),
		cmocka_unit_test(test_restart_initial),
	};

	return cmocka_run_group_tests_name("loader stages", tests, NULL, NULL);
}
