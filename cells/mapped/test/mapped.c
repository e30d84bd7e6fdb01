/* SPDX-License-Identifier: MIT */
#include <theseus/test-sweep.h>

CELL_INFO(.name = "mapped_test", .version = "1.0.0", .summary = "tests of mapped regions",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

/* ---- out of memory ---- */

#define REGIONS 8u

struct made {
	enum mapped_kind kind;
	size_t bytes;
	unsigned n;
	struct mapped regions[REGIONS];
};

static int make(void *arg)
{
	struct made *m = arg;
	size_t bytes[REGIONS];

	if (m->n == 1)
		return mapped_create(m->kind, m->bytes, m->regions);
	for (unsigned i = 0; i < m->n; i++)
		bytes[i] = m->bytes;
	return mapped_create_many(m->kind, m->n, bytes, m->regions);
}

static int make_raw(void *arg)
{
	struct made *m = arg;

	return mapped_create_raw(m->bytes, 64 * PAGE_SIZE, m->regions);
}

static void unmake(void *arg)
{
	struct made *m = arg;

	mapped_drop_many(m->regions, m->n);
}

static int sweep(struct test *test, enum mapped_kind kind, size_t bytes, unsigned n)
{
	struct made made = {.kind = kind, .bytes = bytes, .n = n};
	const struct test_sweep s = {make, unmake, &made};

	return test_sweep(test, &s);
}

static int out_of_memory(struct test *test)
{
	struct made raw = {.bytes = 64 * PAGE_SIZE, .n = 1};
	const struct test_sweep raw_sweep = {make_raw, unmake, &raw};
	int r = 0;

	for (int kind = MAPPED_DATA; r == 0 && kind <= MAPPED_DMA; kind++) {
		r = sweep(test, (enum mapped_kind)kind, 1, 1);
		if (r == 0)
			r = sweep(test, (enum mapped_kind)kind, 1000 * PAGE_SIZE, 1);
	}
	if (r == 0)
		r = sweep(test, MAPPED_DATA, 3 * PAGE_SIZE, REGIONS);
	if (r == 0)
		r = sweep(test, MAPPED_CELL, 100 * PAGE_SIZE, REGIONS);
	return r ? r : test_sweep(test, &raw_sweep);
}
CELL_PROVIDE(test_ops, mapped_out_of_memory) = {.run = out_of_memory};

/* ---- device memory: an address where no RAM is ---- */

static int make_device(void *arg)
{
	struct made *m = arg;

	return mapped_create_device((paddr_t){0xd0000000}, m->bytes, m->regions);
}

static int device_out_of_memory(struct test *test)
{
	struct made made = {.bytes = 16 * PAGE_SIZE, .n = 1};
	const struct test_sweep s = {make_device, unmake, &made};

	return test_sweep(test, &s);
}
CELL_PROVIDE(test_ops, mapped_device_out_of_memory) = {.run = device_out_of_memory};

/* ---- what belongs to a task goes with it ---- */

static int64_t bind_and_return(uint64_t arg)
{
	struct mapped region = {0};
	int r = mapped_create(MAPPED_DATA, arg * PAGE_SIZE, &region);

	return r < 0 ? r : mapped_bind(region, task_id(task_self()));
}
CELL_PROVIDE(task_ops, mapped_test_binds) = {.run = bind_and_return};

static int goes_with_its_task(struct test *test)
{
	struct mapped_stats before, after;
	struct task_exit end;
	struct task_ref task;

	mapped_stats(&before);
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, mapped_test_binds), 7, &task) == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &end) == 0);
	TEST_CHECK(test, end.end == TASK_COMPLETED && end.value == 0);
	mapped_stats(&after);
	TEST_CHECK(test, after.pages == before.pages && after.regions == before.regions);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mapped_goes_with_its_task) = {.run = goes_with_its_task};
