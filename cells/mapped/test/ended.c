/* SPDX-License-Identifier: MIT */
/*
 * Tasks that the ledger ends while they make, change and drop regions, at whatever instruction
 * they are: what a call has begun is done, so the handles say what there is.
 */
#include <theseus/heap.h>
#include <theseus/ledger.h>
#include <theseus/test-sweep.h>

#define KINDS 4u
#define ENDS_EACH 25u
#define HANDLES 8u
#define BOUND 3u

struct ended {
	struct mapped regions[HANDLES]; /* whoever makes them writes here and nowhere else */
	uint64_t rounds;
	uint64_t failed;
};

static int make_and_drop(uint64_t kind, struct ended *s)
{
	size_t bytes[HANDLES] = {1, PAGE_SIZE, 5 * PAGE_SIZE, 1, 1, 2 * PAGE_SIZE, 1, 1};
	int r = 0;

	switch (kind) {
	case 0:
		r = mapped_create(MAPPED_STACK, 4 * PAGE_SIZE, &s->regions[0]);
		break;
	case 1:
		r = mapped_create_many(MAPPED_DATA, HANDLES, bytes, s->regions);
		break;
	case 2:
		r = mapped_create(MAPPED_DATA, 700 * PAGE_SIZE, &s->regions[0]);
		if (r == 0)
			r = mapped_protect(s->regions[0], false);
		break;
	default: /* as whoever keeps the handle on his stack has to do it */
		for (unsigned i = 0; i < BOUND; i++) {
			LEDGER_WHOLE();
			struct mapped region = {0};

			r = mapped_create(MAPPED_DATA, PAGE_SIZE, &region);
			if (r == 0)
				r = mapped_bind(region, task_id(task_self()));
			if (r < 0)
				return r;
			if (i == 0)
				mapped_drop(&region);
			else
				s->regions[i] = region;
		}
	}
	mapped_drop_many(s->regions, HANDLES);
	return r;
}

static struct ended *state_of(uint64_t arg)
{
	return (struct ended *)(uintptr_t)(arg & ~(uint64_t)15);
}

static int64_t run_on(uint64_t arg)
{
	struct ended *s = state_of(arg);

	while (!s->failed) {
		s->failed += make_and_drop(arg & 15, s) < 0;
		__atomic_add_fetch(&s->rounds, 1, __ATOMIC_RELEASE);
	}
	return -1;
}
CELL_PROVIDE(task_ops, mapped_test_ended) = {.run = run_on};

/* Lets a task of this kind run and ends it. */
static int end_one(struct test *test, struct ended *s, uint64_t kind, uint64_t wait_ns)
{
	const struct task_attr attr = {.name = "makes regions", .grace_ns = 1};
	struct task_exit exit;
	struct task_ref task;
	int r;

	*s = (struct ended){.rounds = 0};
	r = task_spawn(&attr, IFACE(task_ops, mapped_test_ended), (uintptr_t)s | kind, &task);
	TEST_CHECK(test, r == 0);
	while (!__atomic_load_n(&s->rounds, __ATOMIC_ACQUIRE))
		TEST_CHECK(test, task_sleep_until(clock_after(wait_ns)) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_KILLED && exit.by_ledger && s->failed == 0);
	if (kind < BOUND) /* else they went with the task */
		mapped_drop_many(s->regions, HANDLES);
	return TEST_PASSED;
}

static int end_many(struct test *test, struct ended *s)
{
	int r = TEST_PASSED;

	for (uint64_t i = 0; i < KINDS * ENDS_EACH && r == TEST_PASSED; i++)
		r = end_one(test, s, i % KINDS, 20000 + i * 7919 % 50000);
	return r;
}

static int ended_half_way(struct test *test)
{
	OWNED(heap_drop) struct ended *s = heap_alloc(CELL_SELF, sizeof(*s));
	struct test_sweep_held before, after;
	struct mapped_stats refused, stats;

	TEST_CHECK(test, s);
	task_trim();
	test_sweep_look(&before);
	mapped_stats(&refused);
	TEST_CHECK(test, end_many(test, s) == TEST_PASSED);
	task_trim();
	test_sweep_look(&after);
	mapped_stats(&stats);
	TEST_CHECK(test, stats.refused == refused.refused && stats.regions == refused.regions);
	TEST_CHECK(test, after.pages == before.pages && after.frames == before.frames);
	TEST_CHECK(test, after.bytes == before.bytes && after.tasks == before.tasks);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, mapped_ended_half_way) = {.run = ended_half_way};
