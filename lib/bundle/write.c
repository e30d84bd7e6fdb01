/* SPDX-License-Identifier: MIT */
#include "bundle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "ar.h"

#define MEMBER_NAME_MAX 15u
#define MEMBER_NAME_CUT 11

int bundle_write_raw(const Theseus__Manifest *manifest, const uint8_t *const *objects,
		     const size_t *sizes, struct buf *out)
{
	struct ar_member *members = calloc(manifest->n_cells + 1, sizeof(*members));
	size_t packed_size = theseus__manifest__get_packed_size(manifest);
	uint8_t *packed = malloc(packed_size ? packed_size : 1);
	int r = -ENOMEM;

	if (members && packed) {
		(void)theseus__manifest__pack(manifest, packed);
		(void)snprintf(members[0].name, sizeof(members[0].name), "%s", BUNDLE_MANIFEST);
		members[0].data = packed;
		members[0].size = packed_size;
		for (size_t i = 0; i < manifest->n_cells; i++) {
			struct ar_member *m = &members[i + 1];

			(void)snprintf(m->name, sizeof(m->name), "%s", manifest->cells[i]->object);
			m->data = objects[i];
			m->size = sizes[i];
		}
		ar_write(members, manifest->n_cells + 1, out);
		r = buf_ok(out) ? 0 : -ENOMEM;
	}
	free(packed);
	free(members);
	return r;
}

struct cell_copy {
	Theseus__Cell cell;
	char object[BUNDLE_NAME_MAX];
	uint8_t sha256[crypto_hash_sha256_BYTES];
};

static void fill_cell(struct cell_copy *copy, const struct bundle_input *in, size_t at)
{
	const char *name = in->manifest->name;

	copy->cell = *in->manifest;
	if (strlen(name) <= MEMBER_NAME_MAX)
		(void)snprintf(copy->object, sizeof(copy->object), "%s", name);
	else
		(void)snprintf(copy->object, sizeof(copy->object), "%.*s~%03zu", MEMBER_NAME_CUT,
			       name, at % 1000);
	(void)crypto_hash_sha256(copy->sha256, in->object, in->size);
	copy->cell.object = copy->object;
	copy->cell.size = in->size;
	copy->cell.sha256.data = copy->sha256;
	copy->cell.sha256.len = sizeof(copy->sha256);
}

int bundle_write(const struct bundle_header *header, const struct bundle_input *cells, size_t n,
		 struct buf *out)
{
	Theseus__Manifest m;
	struct cell_copy *copies = calloc(n, sizeof(*copies));
	Theseus__Cell **pointers = calloc(n, sizeof(*pointers));
	const uint8_t **objects = calloc(n, sizeof(*objects));
	size_t *sizes = calloc(n, sizeof(*sizes));
	int r = -ENOMEM;

	if (copies && pointers && objects && sizes) {
		for (size_t i = 0; i < n; i++) {
			fill_cell(&copies[i], &cells[i], i);
			pointers[i] = &copies[i].cell;
			objects[i] = cells[i].object;
			sizes[i] = cells[i].size;
		}
		theseus__manifest__init(&m);
		m.format = BUNDLE_FORMAT;
		m.sequence = header->sequence;
		m.floor = header->floor;
		m.expiry_unix = header->expiry_unix;
		m.n_cells = n;
		m.cells = pointers;
		r = bundle_write_raw(&m, objects, sizes, out);
		if (r == 0 && out->len > BUNDLE_BYTES_MAX)
			r = -EFBIG;
	}
	free(copies);
	free(pointers);
	free(objects);
	free(sizes);
	return r;
}
