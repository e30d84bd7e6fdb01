/* SPDX-License-Identifier: MIT */
/* Regions: made, touched and dropped; the gate's part of that; many of them. */
#include <theseus/gate-call.h>
#include <theseus/heap.h>
#include <theseus/mapped.h>

#include "internal.h"

#define PAGES_MAX 256u

static void touch(const struct mapped_info *info)
{
	for (uint64_t va = info->start.v; va < info->start.v + info->bytes; va += PAGE_SIZE)
		*(volatile uint64_t *)(uintptr_t)va = va;
}

static int map_once(size_t bytes)
{
	OWNED(mapped_drop) struct mapped region = {0};
	struct mapped_info info;
	int r = mapped_create(MAPPED_DATA, bytes, &region);

	if (r == 0)
		r = mapped_info(region, &info);
	if (r == 0)
		touch(&info);
	return r;
}

static int map_samples(struct bench *b, size_t bytes)
{
	while (bench_more(b)) {
		uint64_t start = bench_start();
		int r = map_once(bytes);

		if (r < 0)
			return r;
		bench_stop(b, start);
	}
	return 0;
}

static int64_t map_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;

	return map_samples(b, b->param * PAGE_SIZE);
}
CELL_PROVIDE(task_ops, bench_map) = {.run = map_task};

static int map(struct bench *b)
{
	if (b->param == 0 || b->param > PAGES_MAX)
		return -EINVAL;
	return bench_on(bench_cpu(), IFACE(task_ops, bench_map), b);
}
CELL_PROVIDE(bench_ops, map) = {.run = map, .n_params = 3, .params = {1, 16, 256}};

/*
 * What of that is the gate's: param pages of a region unmapped and, with the same frames,
 * mapped again, and touched. The region is whole before and after.
 */
static int gate_once(struct gate_run *run, const struct mapped_info *info)
{
	int64_t r;

	run->flags = 0;
	r = gate_unmap(run, 1);
	run->flags = GATE_RUN_WRITE;
	if (r == run->pages)
		r = gate_map(run, 1);
	if (r != run->pages)
		return r < 0 ? (int)r : -EIO;
	touch(info);
	return 0;
}

static int64_t gate_task(uint64_t arg)
{
	OWNED(mapped_drop) struct mapped region = {0};
	struct bench *b = (struct bench *)(uintptr_t)arg;
	struct gate_run run = {
		.pages = (uint32_t)b->param,
	};
	struct mapped_info info;
	int r = mapped_create(MAPPED_DMA, b->param * PAGE_SIZE, &region);

	if (r == 0)
		r = mapped_info(region, &info);
	while (r == 0 && bench_more(b)) {
		uint64_t start = bench_start();

		run.va = info.start.v;
		r = gate_once(&run, &info);
		bench_stop(b, start);
	}
	return r;
}
CELL_PROVIDE(task_ops, bench_gate) = {.run = gate_task};

static int gate(struct bench *b)
{
	if (b->param == 0 || b->param > PAGES_MAX)
		return -EINVAL;
	return bench_on(bench_cpu(), IFACE(task_ops, bench_gate), b);
}
CELL_PROVIDE(bench_ops, gate_map) = {.run = gate, .n_params = 3, .params = {1, 16, 256}};

/* ---- one page, while there are param other regions ---- */

#define REGIONS_MAX 100000u

struct regions {
	struct mapped *list; /* of the heap */
	uint32_t n;
};

static void regions_drop(struct regions *s)
{
	for (uint32_t i = 0; i < s->n; i += MAPPED_MANY_MAX)
		mapped_drop_many(s->list + i,
				 s->n - i < MAPPED_MANY_MAX ? s->n - i : MAPPED_MANY_MAX);
	heap_free(s->list);
}

static int regions_add(struct regions *s, uint32_t n)
{
	size_t bytes[MAPPED_MANY_MAX];

	for (unsigned i = 0; i < MAPPED_MANY_MAX; i++)
		bytes[i] = PAGE_SIZE;
	s->list = heap_alloc(CELL_SELF, (n ? n : 1) * sizeof(*s->list));
	if (!s->list)
		return -ENOMEM;
	while (s->n < n) {
		unsigned some = n - s->n < MAPPED_MANY_MAX ? n - s->n : MAPPED_MANY_MAX;
		int r = mapped_create_many(MAPPED_DATA, some, bytes, s->list + s->n);

		if (r < 0)
			return r;
		s->n += some;
	}
	return 0;
}

static int64_t mappings_task(uint64_t arg)
{
	OWNED(regions_drop) struct regions others = {0};
	struct bench *b = (struct bench *)(uintptr_t)arg;
	int r = regions_add(&others, (uint32_t)b->param);

	return r < 0 ? r : map_samples(b, PAGE_SIZE);
}
CELL_PROVIDE(task_ops, bench_mappings) = {.run = mappings_task};

static int mappings(struct bench *b)
{
	if (b->param > REGIONS_MAX)
		return -EINVAL;
	return bench_on(bench_cpu(), IFACE(task_ops, bench_mappings), b);
}
CELL_PROVIDE(bench_ops, mappings) = {
	.run = mappings, .n_params = 6, .params = {1, 10, 100, 1000, 10000, 100000}};
