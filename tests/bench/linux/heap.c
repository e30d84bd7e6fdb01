/* SPDX-License-Identifier: MIT */
/* malloc() and free() of whatever library this program is linked with, on param CPUs at once. */
#include "linux.h"

#include <stdlib.h>

#define HEAP_WORK_ALLOC(bytes) malloc(bytes)
#define HEAP_WORK_FREE(p) free(p)
#include "heap-work.h"

typedef bool (*work_fn)(struct heap_work *w);

static int stop;

static void *other_thread(void *arg)
{
	static struct heap_work work;
	const work_fn *fn = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (!(*fn)(&work))
			linux_die("malloc");
	heap_work_empty(&work);
	return NULL;
}

static int heap_run(struct bench *b, work_fn fn)
{
	static struct heap_work work;
	pthread_t thread = 0;
	int r = b->param < 1 || b->param > 2 ? -EINVAL : 0;

	if (!r && b->param == 2 && linux_other_cpu() < 0)
		r = -ENODEV;
	if (!r && b->param == 2)
		r = linux_thread(linux_other_cpu(), other_thread, &fn, &thread);
	if (r)
		return r;
	r = heap_work_measure(b, &work, fn);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	if (b->param == 2)
		(void)pthread_join(thread, NULL);
	return r;
}

static int threadtest_run(struct bench *b)
{
	return heap_run(b, heap_work_threadtest);
}

static int shbench_run(struct bench *b)
{
	return heap_run(b, heap_work_shbench);
}

const struct linux_row heap_rows[] = {
	{"threadtest", threadtest_run},
	{"shbench", shbench_run},
	{NULL},
};
