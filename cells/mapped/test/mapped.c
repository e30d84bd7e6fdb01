/* SPDX-License-Identifier: MIT */
#include <theseus/test-sweep.h>

CELL_INFO(.name = "mapped_test", .version = "1.0.0", .summary = "tests of mapped regions",
	  .safety = CELL_UNSAFE, .unsafe_reason = "asks for device memory where there is none",
	  .quiescence = CELL_QUIESCE_ANY);

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

	task_trim(); /* stacks that are kept are pages, too */
	mapped_stats(&before);
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, mapped_test_binds), 7, &task) == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &end) == 0);
	TEST_CHECK(test, end.end == TASK_COMPLETED && end.value == 0);
	task_trim();
	mapped_stats(&after);
	TEST_CHECK(test, after.pages == before.pages && after.regions == before.regions);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mapped_goes_with_its_task) = {.run = goes_with_its_task};

/* ---- what was dropped cannot be reached, at once and from every CPU ---- */

struct stale {
	const volatile uint64_t *word;
	uint64_t reads;
	uint64_t dropped;    /* the drop has returned */
	uint64_t violations; /* reads after that which succeeded */
};

/* Reads until it faults. */
static int64_t read_on(uint64_t arg)
{
	struct stale *s = (struct stale *)(uintptr_t)arg;

	for (;;) {
		uint64_t dropped = __atomic_load_n(&s->dropped, __ATOMIC_ACQUIRE);

		(void)*s->word;
		s->violations += dropped;
		__atomic_add_fetch(&s->reads, 1, __ATOMIC_RELEASE);
		if (dropped)
			return 0;
	}
}
CELL_PROVIDE(task_ops, mapped_test_reads) = {.run = read_on};

static int dropped_is_gone(struct test *test)
{
	const struct task_attr attr = {.name = "reads dropped memory"};
	OWNED(heap_drop) struct stale *s = heap_alloc(CELL_SELF, sizeof(*s));
	struct mapped region = {0};
	struct task_exit end;
	struct task_ref task;

	TEST_CHECK(test, s);
	for (unsigned i = 0; i < 20; i++) {
		*s = (struct stale){.reads = 0};
		TEST_CHECK(test, mapped_create(MAPPED_DATA, 3 * PAGE_SIZE, &region) == 0);
		s->word = MAPPED_VIEW(uint64_t, region, PAGE_SIZE, 1);
		TEST_CHECK(test, s->word && *s->word == 0);
		TEST_CHECK(test, task_spawn(&attr, IFACE(task_ops, mapped_test_reads), (uintptr_t)s,
					    &task) == 0);
		while (__atomic_load_n(&s->reads, __ATOMIC_ACQUIRE) < 100)
			task_yield();
		mapped_drop(&region);
		__atomic_store_n(&s->dropped, 1, __ATOMIC_RELEASE);
		TEST_CHECK(test, task_join(task, CLOCK_NEVER, &end) == 0);
		TEST_CHECK(test, end.end == TASK_FAULTED);
		TEST_CHECK(test, s->violations == 0);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mapped_dropped_is_gone) = {.run = dropped_is_gone};
