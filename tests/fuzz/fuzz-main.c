/* SPDX-License-Identifier: MIT */
/*
 * fuzz-NAME DIR [MUTATIONS]: feeds every file of DIR, and MUTATIONS seeded mutations of each,
 * to the fuzz target. A crash names the file and the mutation, which a second run repeats.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX (4u << 20)

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static uint8_t *read_input(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "re");
	uint8_t *data;
	size_t n;

	if (!f)
		return NULL;
	data = malloc(INPUT_MAX);
	n = data ? fread(data, 1, INPUT_MAX, f) : 0;
	(void)fclose(f);
	if (data)
		*ret_size = n;
	return data;
}

/* Changes @data (of @size bytes, more than 0) in a few places, or cuts it. Result: new size. */
static size_t mutate(uint8_t *data, size_t size, uint64_t *s)
{
	unsigned int edits = 1 + (unsigned int)(next_random(s) % 4);

	while (edits--) {
		size_t at = next_random(s) % size;
		uint64_t r = next_random(s);

		switch (r % 5) {
		case 0:
			data[at] ^= (uint8_t)(1u << ((r >> 8) % 8));
			break;
		case 1:
			data[at] = (uint8_t)(r >> 8);
			break;
		case 2:
			data[at] = (r >> 8) & 1 ? 0xff : 0;
			break;
		case 3: {
			size_t from = (r >> 8) % size, n = 1 + (r >> 40) % 64;

			if (n > size - at)
				n = size - at;
			if (n > size - from)
				n = size - from;
			memmove(data + at, data + from, n);
			break;
		}
		default:
			if ((r >> 8) % 4 == 0)
				size = at ? at : 1;
			else
				data[at] = (uint8_t)(data[at] + 1);
		}
	}
	return size;
}

/* The target sees a buffer of exactly @size bytes, so that ASan sees the first byte too many. */
static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static int run_file(const char *path, unsigned long mutations)
{
	size_t size = 0;
	uint8_t *data = read_input(path, &size), *copy;

	if (!data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	fprintf(stderr, "%s\n", path);
	run_one(data, size);
	copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	for (unsigned long i = 1; size && i <= mutations; i++) {
		uint64_t seed = 0x9e3779b97f4a7c15u * i;

		memcpy(copy, data, size);
		run_one(copy, mutate(copy, size, &seed));
	}
	free(copy);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	struct dirent **names;
	int n, failed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIR [MUTATIONS]\n", argv[0]);
		return 2;
	}
	n = scandir(argv[1], &names, NULL, alphasort);
	if (n < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (int i = 0; i < n; i++) {
		char path[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
			failed |= run_file(path, mutations);
		}
		free(names[i]);
	}
	free(names);
	return failed ? 1 : 0;
}
