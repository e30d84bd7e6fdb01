/* SPDX-License-Identifier: MIT */
/* The heap under two workloads, on param CPUs at once. */
#include <theseus/heap.h>

#include "internal.h"

#define HEAP_WORK_ALLOC(bytes) heap_alloc(CELL_SELF, (bytes))
#define HEAP_WORK_FREE(p) heap_free(p)
#include "heap-work.h"

static const struct {
	bool (*work)(struct heap_work *w);
} works[] = {{heap_work_threadtest}, {heap_work_shbench}};

static struct heap_work *new_work(void)
{
	struct heap_work *w = heap_alloc(CELL_SELF, sizeof(*w));

	if (w)
		*w = (struct heap_work){.random = 0};
	return w;
}

/* On the other CPU, until it is stopped. */
static int64_t other_task(uint64_t kind)
{
	OWNED(heap_drop) struct heap_work *w = new_work();

	while (w && !bench_stopping() && works[kind].work(w))
		;
	if (w)
		heap_work_empty(w);
	return 0;
}
CELL_PROVIDE(task_ops, bench_heap_other) = {.run = other_task};

struct heap_args {
	struct bench *b;
	uint64_t kind;
};

static int64_t heap_task(uint64_t arg)
{
	struct heap_args *a = (struct heap_args *)(uintptr_t)arg;
	OWNED(heap_drop) struct heap_work *w = new_work();

	return w ? heap_work_measure(a->b, w, works[a->kind].work) : -ENOMEM;
}
CELL_PROVIDE(task_ops, bench_heap) = {.run = heap_task};

static int measure(struct bench *b, uint64_t kind)
{
	struct heap_args args = {b, kind};
	int r = b->param < 1 || b->param > 2 ? -EINVAL : 0, other = bench_other_cpu();

	if (r == 0 && b->param == 2)
		r = other < 0 ? other
			      : bench_crowd(1, (unsigned)other, IFACE(task_ops, bench_heap_other),
					    kind);
	if (r < 0)
		return r;
	r = bench_on(bench_cpu(), IFACE(task_ops, bench_heap), &args);
	bench_dismiss_crowd();
	return r;
}

static int threadtest(struct bench *b)
{
	return measure(b, 0);
}
CELL_PROVIDE(bench_ops, threadtest) = {.run = threadtest, .n_params = 2, .params = {1, 2}};

static int shbench(struct bench *b)
{
	return measure(b, 1);
}
CELL_PROVIDE(bench_ops, shbench) = {.run = shbench, .n_params = 2, .params = {1, 2}};
