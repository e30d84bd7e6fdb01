/* SPDX-License-Identifier: MIT */
/* Caches of all CPUs are emptied again and again while tasks on every CPU use them. */
#include <theseus/heap.h>
#include <theseus/task.h>
#include <theseus/test.h>

#define WORKERS 4u
#define SLOTS 64u
#define TRIMS 100u
#define BYTES_MAX 600u

struct shared {
	uint8_t *slots[SLOTS]; /* atomic: whoever takes a block out frees it, wherever it is from */
	uint64_t rounds;       /* atomic */
	uint64_t broken;       /* atomic: blocks that somebody else wrote to */
	uint32_t stop;         /* atomic */
};

/* The first two bytes say how many there are, the rest is a pattern. */
static uint8_t *make_block(uint64_t random)
{
	size_t bytes = 2 + random % BYTES_MAX;
	uint8_t *p = heap_alloc(CELL_SELF, bytes);

	if (!p)
		return NULL;
	p[0] = (uint8_t)bytes;
	p[1] = (uint8_t)(bytes >> 8);
	for (size_t i = 2; i < bytes; i++)
		p[i] = (uint8_t)(bytes + i);
	return p;
}

static bool is_whole(const uint8_t *p)
{
	size_t bytes = p[0] | (size_t)p[1] << 8;

	for (size_t i = 2; i < bytes; i++) {
		if (p[i] != (uint8_t)(bytes + i))
			return false;
	}
	return true;
}

static void replace(struct shared *s, unsigned slot, uint8_t *p)
{
	uint8_t *old = __atomic_exchange_n(&s->slots[slot], p, __ATOMIC_ACQ_REL);

	if (old && !is_whole(old))
		__atomic_add_fetch(&s->broken, 1, __ATOMIC_RELAXED);
	heap_free(old);
}

static int64_t work(uint64_t arg)
{
	struct shared *s = (struct shared *)(uintptr_t)arg;
	uint64_t random = task_id(task_self());

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		replace(s, (unsigned)(random >> 33) % SLOTS, make_block(random >> 40));
		__atomic_add_fetch(&s->rounds, 1, __ATOMIC_RELAXED);
	}
	return 0;
}
CELL_PROVIDE(task_ops, heap_test_works) = {.run = work};

/* Each time after some more work was done. */
static void trim_often(struct shared *s)
{
	for (unsigned i = 0; i < TRIMS; i++) {
		uint64_t seen = __atomic_load_n(&s->rounds, __ATOMIC_RELAXED);

		while (__atomic_load_n(&s->rounds, __ATOMIC_RELAXED) < seen + 200)
			task_yield();
		heap_trim();
	}
}

static int trims_under_load(struct test *test)
{
	OWNED(heap_drop) struct shared *s = heap_alloc(CELL_SELF, sizeof(*s));
	struct heap_stats before, after;
	struct task_ref workers[WORKERS];
	struct task_exit end;
	unsigned n = 0;

	TEST_CHECK(test, s);
	*s = (struct shared){.rounds = 0};
	heap_stats(CELL_SELF, &before);
	while (n < WORKERS &&
	       task_spawn(NULL, IFACE(task_ops, heap_test_works), (uintptr_t)s, &workers[n]) == 0)
		n++;
	if (n > 0)
		trim_often(s);
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++)
		TEST_CHECK(test, task_join(workers[i], CLOCK_NEVER, &end) == 0);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		replace(s, slot, NULL);
	heap_stats(CELL_SELF, &after);
	TEST_CHECK(test, n == WORKERS);
	TEST_CHECK(test, s->broken == 0);
	TEST_CHECK(test, after.bytes == before.bytes && after.objects == before.objects);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, heap_trims_under_load) = {.run = trims_under_load};
