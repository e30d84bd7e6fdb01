/* SPDX-License-Identifier: MIT */
#include "bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void replace(uint8_t *bytes, size_t n, const char *from, const char *to)
{
	size_t length = strlen(from), left = n;
	uint8_t *at = bytes;

	while ((at = memmem(at, left, from, length))) {
		memcpy(at, to, length);
		at += length;
		left = n - (size_t)(at - bytes);
	}
}

int bundle_cell_rename(const struct bundle_cell *cell, const char *from, const char *to,
		       Theseus__Cell **ret_manifest, uint8_t **ret_object)
{
	size_t n = theseus__cell__get_packed_size(cell->manifest);
	uint8_t *packed = malloc(n), *object = malloc(cell->size);
	Theseus__Cell *manifest = NULL;

	if (packed && object) {
		(void)theseus__cell__pack(cell->manifest, packed);
		replace(packed, n, from, to);
		manifest = theseus__cell__unpack(NULL, n, packed);
		memcpy(object, cell->object, cell->size);
		replace(object, cell->size, from, to);
	}
	free(packed);
	if (!manifest) {
		free(object);
		return -ENOMEM;
	}
	*ret_manifest = manifest;
	*ret_object = object;
	return 0;
}
