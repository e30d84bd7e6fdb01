/* SPDX-License-Identifier: MIT */
/*
 * The loader. An archive is staged against a small running world, as it is and once more with
 * its digests put right, so that what is wrong deeper inside is reached; anything else is
 * taken for an object, laid out and linked. A bundle that is accepted is committed and taken
 * back. Whatever happens, the world, its memory and its slots are as before.
 */
#include <stdbool.h>
#include <string.h>

#include "archive.h"
#include "fuzz.h"
#include "link.h"
#include "manifest.h"
#include "sha256.h"
#include "stage.h"
#include "state.h"
#include "testing/fake.h"
#include "testing/world.h"

static struct loader_report report;

/* ---- objects ---- */

static int resolve(void *ctx, uint32_t index, struct slice name, uint64_t *ret_addr)
{
	const struct object *o = ctx;

	FUZZ_CHECK(index < o->n_symbols);
	*ret_addr = GATE_CELL_WINDOW + 0x100000;
	return name.n % 3 ? 0 : -ENOENT;
}

static int check_site(void *ctx, const struct link_site *site)
{
	const struct object *o = ctx;

	FUZZ_CHECK(site->symbol < o->n_symbols && site->section < o->n_sections);
	return 0;
}

static void link_into(const struct object *o, const struct link_layout *l)
{
	struct link_memory memory[LINK_REGIONS];
	struct link_names names = {
		.resolve = resolve, .site = check_site, .ctx = (void *)(uintptr_t)o};

	for (unsigned i = 0; i < LINK_REGIONS; i++) {
		FUZZ_CHECK(l->bytes[i] <= LINK_REGION_MAX + 65536 * 8 + 1);
		memory[i].addr = GATE_CELL_WINDOW + i * 0x2000000ull;
		memory[i].bytes = malloc(LINK_PAGES(l->bytes[i]) + 1);
		FUZZ_CHECK(memory[i].bytes);
	}
	link_copy(o, l, memory);
	memset(&report, 0, sizeof(report));
	/* overlapping relocations may spoil one another, so a good result need not verify */
	if (link_relocate(o, l, memory, &names, &report) == 0) {
		names.verify = true;
		(void)link_relocate(o, l, memory, &names, &report);
	} else {
		FUZZ_CHECK(report.n_reasons > 0);
	}
	for (unsigned i = 0; i < LINK_REGIONS; i++)
		free(memory[i].bytes);
}

static void fuzz_object(const uint8_t *data, size_t size)
{
	struct link_layout layout;
	struct object o;
	void *arena;

	memset(&report, 0, sizeof(report));
	if (object_open((struct slice){data, size}, slice_of("fuzz"), &o, &report) < 0) {
		FUZZ_CHECK(report.n_reasons == 1);
		return;
	}
	arena = malloc(layout_arena_bytes(&o) + 1);
	FUZZ_CHECK(arena);
	if (layout_create(&o, arena, &layout, &report) == 0)
		link_into(&o, &layout);
	free(arena);
}

/* ---- bundles ---- */

/* Puts the digest of each member into the manifest, wherever that says it now. */
static void repair_digests(uint8_t *data, size_t size)
{
	struct slice bundle = {data, size}, manifest_bytes, file;
	struct manifest manifest;
	struct manifest_cell c;
	struct archive archive;
	uint64_t at = 0;

	memset(&report, 0, sizeof(report));
	if (archive_open(bundle, &archive, &report) < 0 ||
	    archive_find(&archive, slice_of("manifest.pb"), &manifest_bytes) < 0 ||
	    manifest_open(manifest_bytes, &manifest, &report) < 0)
		return;
	while (manifest_next_cell(&manifest, &at, &c)) {
		size_t i = (size_t)(c.body.p - data), end = i + c.body.n;

		while (i + 32 <= end && memcmp(data + i, c.sha256, 32) != 0)
			i++;
		if (i + 32 <= end && archive_find(&archive, c.object, &file) == 0)
			sha256(file.p, file.n, data + i);
	}
}

static void stage(const uint8_t *data, size_t size)
{
	const struct fake before = fake;
	struct loader_stage *s;
	int r = loader_stage_create(data, size, &s, &report);

	if (r == 0) {
		FUZZ_CHECK(loader_stage_commit(s) == 0);
		FUZZ_CHECK(loader_generation() == 1);
		FUZZ_CHECK(loader_stage_revert(s) == 0);
		loader_stage_drop(s);
	} else {
		FUZZ_CHECK(r == -EINVAL || r == -EPERM || r == -ENOMEM);
		FUZZ_CHECK(report.n_reasons > 0 && report.n_reasons <= LOADER_REASONS_MAX);
		FUZZ_CHECK(report.code[0] != '\0');
	}
	FUZZ_CHECK(loader_generation() == 0);
	/* a page of stubs or slots, once needed, stays */
	FUZZ_CHECK(fake.blocks <= before.blocks + 16 && fake.pages <= before.pages + 32);
}

static void boot(void)
{
	static const struct edition first = {.with_base = true, .with_user = true};
	struct blob b = world_bundle(&first);
	struct loader_stage *s;

	fake_start();
	FUZZ_CHECK(namespace_create(NULL, 0, 0, &loader_state()->namespace, &report) == 0);
	FUZZ_CHECK(stage_create((struct slice){b.p, b.n}, true, &s, &report) == 0);
	FUZZ_CHECK(commit_apply(s) == 0);
	(void)commit_finalise(s);
	free(b.p);
}

static void fuzz_bundle(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size);

	FUZZ_CHECK(copy);
	boot();
	stage(data, size);
	memcpy(copy, data, size);
	repair_digests(copy, size);
	stage(copy, size);
	free(copy);
	fake_start();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= 8 && memcmp(data, "!<arch>\n", 8) == 0)
		fuzz_bundle(data, size);
	else
		fuzz_object(data, size);
	return 0;
}
