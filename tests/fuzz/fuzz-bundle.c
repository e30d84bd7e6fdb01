/* SPDX-License-Identifier: MIT */
/*
 * Bundles and the objects in them, as the host reads them. Digests stop most mutations of a
 * bundle, so every member of the archive is also read as an object by itself, and so is the
 * input as a whole. An object that can be read can be written and read again.
 */
#include <string.h>

#include <sodium.h>

#include "bundle/ar.h"
#include "bundle/bundle.h"
#include "fuzz.h"
#include "pack/barrier.h"
#include "pack/object.h"

static void check_object(const struct object *o, size_t size)
{
	for (size_t i = 0; i < o->n_sections; i++) {
		const struct object_section *s = &o->sections[i];

		FUZZ_CHECK(s->type == SHT_NOBITS || s->size <= size);
		for (size_t k = 0; k < s->n_relocs; k++)
			FUZZ_CHECK(s->relocs[k].symbol < o->n_symbols &&
				   s->relocs[k].offset < s->size);
	}
	for (size_t i = 0; i < o->n_symbols; i++)
		FUZZ_CHECK(o->symbols[i].place != OBJECT_DEFINED ||
			   o->symbols[i].section < o->n_sections);
}

static void check_barriers(const struct object *o)
{
	uint32_t text = object_section_find(o, ".text");
	struct barrier *barriers;
	uint64_t end = 0;
	size_t n;

	if (barriers_find("input", o, &barriers, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(barriers[i].at >= end && barriers[i].bytes > 0);
		end = barriers[i].at + barriers[i].bytes;
		FUZZ_CHECK(end <= o->sections[text].size);
	}
	free(barriers);
}

static void try_object(const uint8_t *data, size_t size)
{
	struct object o, again;
	struct buf out = {0};

	if (object_parse("input", data, size, &o, NULL) < 0)
		return;
	check_object(&o, size);
	check_barriers(&o);
	if (object_write(&o, &out) == 0 &&
	    object_parse("output", out.data, out.len, &again, NULL) == 0) {
		FUZZ_CHECK(again.n_sections == o.n_sections && again.n_symbols == o.n_symbols);
		object_done(&again);
	}
	buf_done(&out);
	object_done(&o);
}

static void try_archive(const uint8_t *data, size_t size)
{
	struct ar_member *members;
	size_t n;

	if (ar_parse(data, size, &members, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(members[i].data >= data && members[i].size <= size);
		FUZZ_CHECK((size_t)(members[i].data - data) <= size - members[i].size);
		try_object(members[i].data, members[i].size);
	}
	free(members);
}

static void try_bundle(const uint8_t *data, size_t size)
{
	struct reasons reasons = {0};
	struct bundle *b = NULL;
	int r = bundle_open("input", data, size, &b, &reasons);

	FUZZ_CHECK((r == 0) == (b != NULL));
	FUZZ_CHECK(r == 0 || reasons.n > 0);
	for (size_t i = 0; b && i < bundle_n_cells(b); i++) {
		struct bundle_cell c = bundle_cell_at(b, i), found;

		FUZZ_CHECK(c.size == c.manifest->size && bundle_name_valid(c.manifest->name));
		FUZZ_CHECK(bundle_cell_find(b, c.manifest->name, &found) == 0 &&
			   found.object == c.object);
	}
	bundle_free(b);
	reasons_done(&reasons);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (sodium_init() < 0)
		return 0;
	try_bundle(data, size);
	try_archive(data, size);
	try_object(data, size);
	return 0;
}
