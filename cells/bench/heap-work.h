/* SPDX-License-Identifier: MIT */
/*
 * Two allocator workloads, compiled for the guest and for Linux alike. Whoever includes this
 * says what HEAP_WORK_ALLOC(bytes) and HEAP_WORK_FREE(p) are.
 */
#ifndef BENCH_HEAP_WORK_H
#define BENCH_HEAP_WORK_H

#include <theseus/bench.h>

#define HEAP_WORK_SLOTS 1000u
#define HEAP_WORK_SMALL 64u /* bytes of a threadtest object */

/* All zero: ready. */
struct heap_work {
	unsigned char *slots[HEAP_WORK_SLOTS];
	uint64_t random;
};

static inline uint64_t heap_work_random(struct heap_work *w)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return w->random >> 33;
}

static inline bool heap_work_fill(struct heap_work *w, unsigned slot, size_t bytes)
{
	w->slots[slot] = HEAP_WORK_ALLOC(bytes);
	if (!w->slots[slot])
		return false;
	w->slots[slot][0] = (unsigned char)slot; /* memory that nobody touches is cheaper */
	return true;
}

static inline void heap_work_empty(struct heap_work *w)
{
	for (unsigned i = 0; i < HEAP_WORK_SLOTS; i++) {
		HEAP_WORK_FREE(w->slots[i]);
		w->slots[i] = NULL;
	}
}

/* After threadtest: many of one size, then all of them freed, in the order they came. */
static inline bool heap_work_threadtest(struct heap_work *w)
{
	for (unsigned i = 0; i < HEAP_WORK_SLOTS; i++)
		if (!heap_work_fill(w, i, HEAP_WORK_SMALL))
			return false;
	heap_work_empty(w);
	return true;
}

/*
 * After shbench: sizes of 1 to 1,000 bytes, small ones more often, each freed at random some
 * time later: about 500 to 1,000 are alive.
 */
static inline bool heap_work_shbench(struct heap_work *w)
{
	for (unsigned i = 0; i < HEAP_WORK_SLOTS; i++) {
		unsigned slot = (unsigned)(heap_work_random(w) % HEAP_WORK_SLOTS);
		size_t bytes = 1 + (size_t)(heap_work_random(w) % 1000);

		bytes = 1 + bytes * (size_t)(heap_work_random(w) % 1000) / 1001;
		HEAP_WORK_FREE(w->slots[slot]);
		if (!heap_work_fill(w, slot, bytes))
			return false;
	}
	return true;
}

/* Samples of one of the two; each is HEAP_WORK_SLOTS times an allocation and a free. */
static inline int heap_work_measure(struct bench *b, struct heap_work *w,
				    bool (*work)(struct heap_work *w))
{
	bool ok = true;

	b->ops = HEAP_WORK_SLOTS;
	for (unsigned i = 0; ok && i < 10; i++)
		ok = work(w);
	while (ok && bench_more(b)) {
		uint64_t start = bench_start();

		ok = work(w);
		bench_stop(b, start);
	}
	heap_work_empty(w);
	return ok ? 0 : -ENOMEM;
}

#endif
