/* SPDX-License-Identifier: MIT */
/* Anonymous mappings: made, touched and removed, also among many others. */
#include "linux.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096u

static int map_samples(struct bench *b, size_t bytes)
{
	while (bench_more(b)) {
		uint64_t start = bench_start();
		char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			return -errno;
		for (size_t at = 0; at < bytes; at += PAGE)
			*(volatile uint64_t *)(void *)(p + at) = at;
		(void)munmap(p, bytes);
		bench_stop(b, start);
	}
	return 0;
}

static int map_run(struct bench *b)
{
	return b->param ? map_samples(b, b->param * PAGE) : -EINVAL;
}

/*
 * The kernel keeps mappings in a tree, and joins neighbours that are alike: every other page
 * gets another protection, so that param mappings are param entries of the tree.
 */
static int many_run(struct bench *b)
{
	size_t bytes = b->param * PAGE;
	char *area = mmap(NULL, bytes ? bytes : PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return -errno;
	for (size_t at = PAGE; at < bytes; at += 2 * PAGE)
		if (mprotect(area + at, PAGE, PROT_READ))
			return -errno; /* as many as vm.max_map_count allows */
	for (size_t at = 0; at < bytes; at += 2 * PAGE)
		*(volatile char *)(area + at) = 1;
	return map_samples(b, PAGE);
}

const struct linux_row memory_rows[] = {
	{"mmap", map_run},
	{"mmap-among", many_run},
	{NULL},
};
