/* SPDX-License-Identifier: MIT */
/* What other operations are made of: these say where their time goes. */
#include <theseus/gate-call.h>
#include <theseus/loader.h>
#include <theseus/mapped.h>
#include <theseus/spinlock.h>

#include "internal.h"

#define TIMES 1000u /* a sample, of what is too short to be timed */

static int clock_now(struct bench *b)
{
	b->ops = TIMES;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < TIMES; i++)
			(void)clock_now_ns();
		bench_stop(b, start);
	}
	return 0;
}
CELL_PROVIDE(bench_ops, clock) = {.run = clock_now, .n_params = 1, .params = {0}};

static int lock(struct bench *b)
{
	struct bench_state *s = bench_state();

	b->ops = TIMES;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < TIMES; i++) {
			spin_lock(&s->lock);
			spin_unlock(&s->lock);
		}
		bench_stop(b, start);
	}
	return 0;
}
CELL_PROVIDE(bench_ops, lock) = {.run = lock, .n_params = 1, .params = {0}};

/* The least that a gate call can be: it looks at one word and changes nothing. */
static int gate_call_least(struct bench *b)
{
	OWNED(mapped_drop) struct mapped region = {0};
	paddr_t pa;
	int64_t r = mapped_create(MAPPED_DMA, PAGE_SIZE, &region);

	if (r == 0)
		r = mapped_phys(region, 0, &pa);
	while (r >= 0 && bench_more(b)) {
		uint64_t start = bench_start();

		r = gate_frame_state(pa.v);
		bench_stop(b, start);
	}
	return r < 0 ? (int)r : 0;
}
CELL_PROVIDE(bench_ops, gate_call) = {.run = gate_call_least, .n_params = 1, .params = {0}};

/* By name, among all cells. */
static int find_cell(struct bench *b)
{
	struct loader_cell cell;
	int r = 0;

	while (r == 0 && bench_more(b)) {
		uint64_t start = bench_start();

		r = loader_cell_find("bench", &cell);
		bench_stop(b, start);
	}
	return r;
}
CELL_PROVIDE(bench_ops, find_cell) = {.run = find_cell, .n_params = 1, .params = {0}};
