/* SPDX-License-Identifier: MIT */
/*
 * Bundles of very many cells, each made of the one in FILLER: many-NNN.cells, of 64 cells or what
 * is left, and gone-NNN.cells, which take those out again. For the system tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "bundle/bundle.h"

#define FILLER "bench_filler_00000"
#define A_BUNDLE 64u /* cells that the guest takes at once */
#define COUNT_MAX 16384ul

static void fail(const char *what)
{
	(void)fprintf(stderr, "mkmany: %s\n", what);
	exit(1);
}

static void write_file(const char *dir, const char *what, unsigned number, struct buf *out)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s-%03u.cells", dir, what, number) < 0 ||
	    file_write(path, out->data, out->len) < 0)
		fail("cannot write a file");
	free(path);
	buf_done(out);
}

static void make_bundles(const char *dir, const struct bundle_cell *one, unsigned first, unsigned n)
{
	char names[A_BUNDLE][BUNDLE_NAME_MAX], *gone[A_BUNDLE];
	Theseus__Manifest manifest = THESEUS__MANIFEST__INIT;
	struct bundle_header header = {.sequence = 0};
	struct bundle_input inputs[A_BUNDLE];
	Theseus__Cell *manifests[A_BUNDLE];
	uint8_t *objects[A_BUNDLE];
	struct buf out = {0};

	for (unsigned i = 0; i < n; i++) {
		gone[i] = names[i];
		(void)snprintf(names[i], sizeof(names[i]), "bench_filler_%05u", first + i);
		if (bundle_cell_rename(one, FILLER, names[i], &manifests[i], &objects[i]) < 0)
			fail("out of memory");
		inputs[i] = (struct bundle_input){manifests[i], objects[i], one->size};
	}
	if (bundle_write(&header, inputs, n, &out) < 0)
		fail("cannot make a bundle");
	write_file(dir, "many", first / A_BUNDLE, &out);
	manifest.format = BUNDLE_FORMAT;
	manifest.obsoletes = gone;
	manifest.n_obsoletes = n;
	if (bundle_write_raw(&manifest, NULL, NULL, &out) < 0)
		fail("cannot make a bundle");
	write_file(dir, "gone", first / A_BUNDLE, &out);
	for (unsigned i = 0; i < n; i++) {
		theseus__cell__free_unpacked(manifests[i], NULL);
		free(objects[i]);
	}
}

int main(int argc, char **argv)
{
	struct reasons reasons = {0};
	struct bundle *filler;
	struct bundle_cell one;
	unsigned long count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;

	if (count < 1 || count > COUNT_MAX)
		fail("usage: mkmany FILLER DIR COUNT");
	if (bundle_open_file(argv[1], &filler, &reasons) < 0)
		fail("the filler is no bundle");
	one = bundle_cell_at(filler, 0);
	for (unsigned done = 0; done < count; done += A_BUNDLE)
		make_bundles(argv[2], &one, done,
			     count - done < A_BUNDLE ? (unsigned)count - done : A_BUNDLE);
	bundle_free(filler);
	return 0;
}
