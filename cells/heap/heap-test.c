/* SPDX-License-Identifier: MIT */
/* Built once for each -Dheap=; what a build does not check is not tried. */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <theseus/frames.h>

#include "sim.h"

extern const struct cell_ops __provide_cell_ops__frames, __provide_cell_ops__mapped,
	__provide_cell_ops__heap;

#define RAM 4000u /* pages */
#define CELL(n) ((struct cell_ref){(n)})

static _Thread_local unsigned cpu;

unsigned heap_this_cpu(void)
{
	return cpu;
}

struct heap_cpu *heap_cpu(unsigned i)
{
	static struct heap_cpu cpus[GATE_MAX_CPUS];

	return &cpus[i];
}

static uint64_t idle_pages; /* mapped for regions when nothing is allocated */

static uint64_t region_pages(void)
{
	struct mapped_stats s;

	mapped_stats(&s);
	return s.pages;
}

static struct heap_stats stats(uint32_t cell)
{
	struct heap_stats s;

	heap_stats(CELL(cell), &s);
	return s;
}

/* The accounts of the first cells stay once they are there, in an arena. */
static void start(uint64_t ram_pages)
{
	void *p;

	cpu = 0;
	sim_boot(ram_pages);
	sim.tables_left = 100;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__heap), 0);
	p = heap_alloc(CELL(1), 1);
	assert_non_null(p);
	heap_free(p);
	heap_trim();
	idle_pages = region_pages();
	assert_int_equal(idle_pages, ARENA_PAGES);
}

static void check_idle(void)
{
	heap_trim();
	assert_int_equal(stats(0).bytes, 0);
	assert_int_equal(stats(0).objects, 0);
	assert_int_equal(region_pages(), idle_pages);
	assert_int_equal(stats(0).pages, idle_pages);
	assert_int_equal(sim.refused, 0);
}

/* ---- plain blocks ---- */

static void test_sizes(void **state)
{
	static const size_t sizes[] = {
		1,     7,     8,     9,     15,     16,       17,
		24,    56,    112,   113,   120,    121,      128,
		500,   504,   505,   1016,  1017,   2040,     2041,
		4088,  4089,  8184,  8185,  16376,  16384,    32752,
		32760, 32761, 32768, 65536, 100000, 1u << 20, (3u << 20) + 1};
	uint8_t *p[ARRAY_SIZE(sizes)][3];

	(void)state;
	start(RAM);
	for (int k = 0; k < 3; k++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i][k] = heap_alloc(CELL(5), sizes[i]);
			assert_non_null(p[i][k]);
			assert_int_equal((uintptr_t)p[i][k] % 16, 0);
			memset(p[i][k], (int)(i * 3 + (size_t)k + 1), sizes[i]);
		}
	}
	for (int k = 0; k < 3; k++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			assert_int_equal(p[i][k][0], i * 3 + (size_t)k + 1);
			assert_memory_equal(p[i][k], p[i][k] + 1, sizes[i] - 1);
			heap_free(p[i][k]);
		}
	}
	check_idle();
}

static void test_refusals(void **state)
{
	(void)state;
	start(RAM);
	assert_null(heap_alloc(CELL(1), 0));
	assert_null(heap_alloc(CELL(1), HEAP_BLOCK_MAX + 1));
	assert_null(heap_alloc(CELL(1), SIZE_MAX / 2));
	assert_null(heap_alloc(CELL(IFACE_SLOTS), 1));
	assert_null(heap_alloc(CELL(UINT32_MAX), 1));
	heap_free(NULL);
	check_idle();
}

static void test_accounts(void **state)
{
	void *a, *b, *c;

	(void)state;
	start(RAM);
	a = heap_alloc(CELL(3), 100);
	b = heap_alloc(CELL(3), 70000);
	cpu = 1;
	c = heap_alloc(CELL(IFACE_SLOTS - 1), 17);
	assert_int_equal(stats(3).bytes, 70100);
	assert_int_equal(stats(3).objects, 2);
	assert_int_equal(stats(IFACE_SLOTS - 1).bytes, 17);
	assert_int_equal(stats(4).bytes, 0);
	assert_int_equal(stats(0).bytes, 70117);
	assert_int_equal(stats(0).objects, 3);
	assert_int_equal(stats(3).pages, 0);
	heap_free(a); /* on another CPU than it came from */
	heap_free(b);
	assert_int_equal(stats(3).bytes, 0);
	assert_int_equal(stats(3).objects, 0);
	heap_free(c);
	check_idle();
	cpu = 0;
	check_idle();
}

static void test_drop(void **state)
{
	(void)state;
	start(RAM);
	{
		OWNED(heap_drop) char *p = heap_alloc(CELL(1), 10);
		OWNED(heap_drop) char *none = NULL;

		assert_non_null(p);
		assert_null(none);
	}
	check_idle();
}

/* Random blocks with a pattern each; accounts by owner. */
struct block {
	uint8_t *p;
	size_t bytes;
	uint32_t owner;
	uint8_t fill;
};

static void block_check_and_free(struct block *b, uint64_t *bytes_of)
{
	assert_int_equal(b->p[0], b->fill);
	assert_memory_equal(b->p, b->p + 1, b->bytes - 1);
	bytes_of[b->owner] -= b->bytes;
	heap_free(b->p);
	b->p = NULL;
}

static void test_fuzz(void **state)
{
	static struct block blocks[600];
	static const size_t limits[] = {20, 150, 600, 3000, 9000, 40000};
	uint64_t bytes_of[8] = {0};

	(void)state;
	start(6000);
	memset(blocks, 0, sizeof(blocks));
	for (int i = 0; i < 60000; i++) {
		struct block *b = &blocks[sim_below(ARRAY_SIZE(blocks))];

		cpu = (unsigned)sim_below(2);
		if (b->p) {
			block_check_and_free(b, bytes_of);
			continue;
		}
		*b = (struct block){.bytes = 1 + sim_below(limits[sim_below(6)]),
				    .owner = 1 + (uint32_t)sim_below(7),
				    .fill = (uint8_t)i};
		b->p = heap_alloc(CELL(b->owner), b->bytes);
		assert_non_null(b->p);
		memset(b->p, b->fill, b->bytes);
		bytes_of[b->owner] += b->bytes;
		if (i % 1000 == 0) {
			for (uint32_t owner = 1; owner < 8; owner++)
				assert_int_equal(stats(owner).bytes, bytes_of[owner]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		if (blocks[i].p)
			block_check_and_free(&blocks[i], bytes_of);
	}
	cpu = 1;
	heap_trim();
	cpu = 0;
	check_idle();
}

/* All memory is used, refused, given back, and usable again to the same extent. */
static void test_exhaustion(void **state)
{
	static const size_t sizes[] = {24, 300, 1000, 5000, 30000, 50000};
	size_t count = 0, again;

	(void)state;
	start(600);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (int round = 0; round < 2; round++) {
			void *first = NULL, *p;

			again = 0;
			while ((p = heap_alloc(CELL(2), sizes[i]))) {
				*(void **)p = first;
				first = p;
				again++;
			}
			assert_int_equal(stats(2).objects, again);
			while (first) {
				p = first;
				first = *(void **)p;
				heap_free(p);
			}
			check_idle();
			if (round == 0)
				count = again;
			assert_true(count > 0 && again == count);
		}
	}
}

static struct frames_stats frame_stats(void)
{
	struct frames_stats s;

	frames_stats(&s);
	return s;
}

/* Lets the n-th frame and the n-th gate call fail, until the allocation runs through. */
static void test_alloc_failures(void **state)
{
	static const size_t sizes[] = {1, 1000, 20000, 200000};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		for (int64_t nth = 1;; nth++) {
			struct frames_stats before, after;
			void *p;

			sim_boot(RAM);
			assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
			assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
			assert_int_equal(sim_start(&__provide_cell_ops__heap), 0);
			sim.tables_left = 1;
			before = frame_stats();
			*(i % 2 ? &sim.fail_in : &sim.frames_fail_in) = nth;
			p = heap_alloc(CELL(1), sizes[i / 2]);
			if (sim.failures == 0) {
				assert_non_null(p);
				break;
			}
			sim.fail_in = 0;
			sim.frames_fail_in = 0;
			/* not for want of DATA frames in one run: those are tried in pieces */
			if (!p) {
				assert_int_equal(stats(0).objects, 0);
				p = heap_alloc(CELL(1), sizes[i / 2]);
			}
			assert_non_null(p);
			heap_free(p);
			heap_trim();
			after = frame_stats();
			assert_in_range(after.used - before.used, 0, ARENA_PAGES + 3);
			assert_int_equal(sim.refused, 0);
			assert_in_range(nth, 1, 20);
		}
	}
}

/* ---- two CPUs ---- */

/* Blocks that one thread makes and the other frees, and the other way round. */
#define EXCHANGE 64u
static void *exchange[2][EXCHANGE];

struct worker {
	pthread_t thread;
	unsigned cpu;
	bool ok;
};

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	uint64_t x = 12345 + w->cpu;

	cpu = w->cpu;
	w->ok = true;
	for (int i = 0; i < 100000; i++) {
		size_t bytes;
		void **put, *p;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		bytes = 16 + (x >> 33) % ((x >> 60) ? 300 : 20000);
		p = heap_alloc(CELL(1 + w->cpu), bytes);
		if (!p) {
			w->ok = false;
			break;
		}
		memset(p, (int)w->cpu, bytes);
		put = &exchange[w->cpu][(x >> 20) % EXCHANGE];
		heap_free(__atomic_exchange_n(put, p, __ATOMIC_ACQ_REL));
		put = &exchange[!w->cpu][(x >> 40) % EXCHANGE];
		heap_free(__atomic_exchange_n(put, NULL, __ATOMIC_ACQ_REL));
	}
	heap_trim();
	return NULL;
}

static void test_two_cpus(void **state)
{
	struct worker w[2] = {{.cpu = 0}, {.cpu = 1}};

	(void)state;
	start(RAM);
	memset(exchange, 0, sizeof(exchange));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, run_worker, &w[i]), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_true(w[i].ok);
	}
	for (unsigned i = 0; i < EXCHANGE; i++) {
		heap_free(exchange[0][i]);
		heap_free(exchange[1][i]);
	}
	assert_int_equal(stats(1).bytes, 0);
	assert_int_equal(stats(2).bytes, 0);
	check_idle();
}

/* ---- what checked builds find ---- */

#if HEAP_CHECKS >= CHECKS_PARTIAL
static void free_it(void *p)
{
	heap_free(p);
}

static void test_double_free(void **state)
{
	static const size_t sizes[] = {1, 64, 700, 3000, 20000};

	(void)state;
	start(RAM);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *keep = heap_alloc(CELL(1), sizes[i]), *p = heap_alloc(CELL(1), sizes[i]);
		volatile uintptr_t again = (uintptr_t)p;

		assert_non_null(p);
		heap_free(p);
		sim_expect_trap(free_it, (void *)again, "heap_free: freed twice");
		heap_free(keep);
	}
	check_idle();
}

static void test_wrong_free(void **state)
{
	const char *reason = "heap_free: not a block, or its header was overwritten";
	uint8_t *p, *header;

	(void)state;
	start(RAM);
	p = heap_alloc(CELL(1), 100);
	assert_non_null(p);
	memset(p, 0, 100);
	sim_expect_trap(free_it, p + 16, reason);
	header = (uint8_t *)((uintptr_t)p - BLOCK_HEADER);
	for (size_t i = 0; i < BLOCK_HEADER; i++) {
		header[i] ^= 0x10;
		sim_expect_trap(free_it, p, reason);
		header[i] ^= 0x10;
	}
	heap_free(p);
	check_idle();
}
#endif

#if HEAP_CHECKS == CHECKS_SAFE
static void test_write_past_end(void **state)
{
	static const size_t sizes[] = {1, 24, 64, 100, 1000, 8000, 40000};

	(void)state;
	start(RAM);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t past = 0; past < 8; past++) {
			uint8_t *p = heap_alloc(CELL(1), sizes[i]), kept;

			assert_non_null(p);
			kept = p[sizes[i] + past];
			p[sizes[i] + past] ^= 1;
			sim_expect_trap(free_it, p, "heap_free: written past the end of the block");
			p[sizes[i] + past] = kept;
			heap_free(p);
		}
	}
	check_idle();
}

static void alloc_64(void *arg)
{
	for (int i = 0; i < 160; i++)
		((void **)arg)[i] = heap_alloc(CELL(1), 64);
}

/* A freed block is not handed out at once; a write to it meanwhile is found when it is. */
static void test_write_after_free(void **state)
{
	static void *got[200];
	uintptr_t old;
	void *p;

	(void)state;
	start(RAM);
	p = heap_alloc(CELL(1), 64);
	assert_non_null(p);
	old = (uintptr_t)p;
	heap_free(p);
	p = heap_alloc(CELL(1), 64);
	assert_int_not_equal((uintptr_t)p, old);
	heap_free(p);
	*(uint8_t *)(old + 20) = 1;
	memset(got, 0, sizeof(got));
	for (int i = 0; i < 40; i++)
		got[i] = heap_alloc(CELL(1), 64);
	for (int i = 0; i < 16; i++)
		heap_free(got[i]);
	sim_expect_trap(alloc_64, got + 40, "heap: a block was written to after it was freed");
}

/* Whatever a CPU's lists went through, a block waits for 16 others of its class. */
static void test_quarantine(void **state)
{
	static void *live[1200];
	void *freed[QUARANTINE] = {0};
	unsigned n_freed = 0;

	(void)state;
	start(RAM);
	memset(live, 0, sizeof(live));
	for (int i = 0; i < 100000; i++) {
		/* few are alive, then many */
		void **p = &live[sim_below(i / 10000 % 2 ? ARRAY_SIZE(live) : 50)];

		if (*p) {
			freed[n_freed++ % QUARANTINE] = *p;
			heap_free(TAKE(*p));
			continue;
		}
		*p = heap_alloc(CELL(1), 64);
		assert_non_null(*p);
		for (unsigned k = 0; k < QUARANTINE; k++)
			assert_ptr_not_equal(*p, freed[k]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(live); i++)
		heap_free(live[i]);
	check_idle();
}
#endif

/* ---- typed objects ---- */

struct thing {
	uint64_t a, b;
	uint8_t more[20];
};

static struct heap_type make_type(const char *name, size_t bytes)
{
	struct heap_type type = {0};

	assert_int_equal(heap_type_create(CELL(7), name, bytes, OBJECT_NO_OPS, &type), 0);
	return type;
}

static struct handle make_object(struct heap_type type, uint32_t owner, uint64_t task)
{
	struct handle h = {0};

	assert_int_equal(object_create(type, (struct object_owner){CELL(owner), task}, &h), 0);
	return h;
}

static void test_objects(void **state)
{
	struct heap_type things, others;
	struct handle h, old;
	struct thing *t;

	(void)state;
	start(RAM);
	things = make_type("thing", sizeof(struct thing));
	others = make_type("other", sizeof(struct thing));
	h = make_object(things, 9, 42);
	t = object_get(things, h);
	assert_non_null(t);
	assert_int_equal((uintptr_t)t % 16, 0);
	assert_int_equal(t->a | t->b | t->more[19], 0);
	memset(t, 0xff, sizeof(*t));
	assert_int_equal(stats(9).bytes, sizeof(struct thing));
	assert_int_equal(stats(9).objects, 1);
	assert_null(object_get(others, h));
	assert_int_equal(object_destroy(others, h), -ESTALE);
	old = h;
	old.type = others.id;
	assert_null(object_get(others, old));
	assert_int_equal(object_destroy(things, h), 0);
	assert_int_equal(stats(9).objects, 0);
	assert_null(object_get(things, h));
	assert_int_equal(object_destroy(things, h), -ESTALE);
	/* its place is used again: clean, and the old handle stays stale */
	old = h;
	h = make_object(things, 9, 42);
	assert_int_equal(h.slot, old.slot);
	assert_null(object_get(things, old));
	assert_int_equal(object_destroy(things, old), -ESTALE);
	t = object_get(things, h);
	assert_int_equal(t->a | t->b | t->more[19], 0);
	assert_int_equal(object_destroy(things, h), 0);
	assert_int_equal(heap_type_destroy(things), 0);
	assert_int_equal(heap_type_destroy(others), 0);
	assert_int_equal(stats(0).bytes, 0);
}

static void test_object_refusals(void **state)
{
	const struct object_owner owner = {CELL(1), 1}, no_cell = {CELL(IFACE_SLOTS), 1};
	struct heap_type type, second = {0};
	struct handle h = {0}, forged;

	(void)state;
	start(RAM);
	assert_int_equal(heap_type_create(CELL(1), "", 8, OBJECT_NO_OPS, &type), -EINVAL);
	assert_int_equal(heap_type_create(CELL(1), "0123456789012345678901234567890", 8,
					  OBJECT_NO_OPS, &type),
			 0);
	assert_int_equal(heap_type_create(CELL(1), "01234567890123456789012345678901", 8,
					  OBJECT_NO_OPS, &type),
			 -EINVAL);
	assert_int_equal(heap_type_create(CELL(1), "a", 0, OBJECT_NO_OPS, &type), -EINVAL);
	assert_int_equal(heap_type_create(CELL(1), "a", HEAP_OBJECT_MAX + 1, OBJECT_NO_OPS, &type),
			 -EINVAL);
	assert_int_equal(heap_type_create(CELL(1), "a", HEAP_OBJECT_MAX, OBJECT_NO_OPS, &type), 0);
	assert_int_equal(heap_type_create(CELL(1), "a", 8, OBJECT_NO_OPS, &second), -EEXIST);
	assert_int_equal(heap_type_create(CELL(2), "a", 8, OBJECT_NO_OPS, &second), 0);
	assert_int_equal(object_create((struct heap_type){0}, owner, &h), -EINVAL);
	assert_int_equal(object_create((struct heap_type){type.id + 256}, owner, &h), -EINVAL);
	assert_int_equal(object_create((struct heap_type){200}, owner, &h), -EINVAL);
	assert_int_equal(object_create(type, no_cell, &h), -EINVAL);
	assert_int_equal(h.type, 0);
	assert_null(object_get(type, h));
	h = make_object(type, 1, 1);
	assert_int_equal(heap_type_destroy(type), -EBUSY);
	forged = h;
	forged.slot = 1;
	assert_null(object_get(type, forged));
	forged.slot = UINT32_MAX;
	assert_null(object_get(type, forged));
	forged = h;
	forged.generation = 0;
	assert_null(object_get(type, forged));
	assert_int_equal(object_destroy(type, h), 0);
	assert_int_equal(heap_type_destroy(type), 0);
	assert_int_equal(heap_type_destroy(type), -ESTALE);
	assert_int_equal(heap_type_destroy((struct heap_type){0}), -ESTALE);
	assert_null(object_get(type, h));
	assert_int_equal(object_destroy(type, h), -ESTALE);
	assert_int_equal(object_for_each(type, NULL, NULL), 0);
}

static void test_many_types(void **state)
{
	struct heap_type types[TYPES_MAX + 1];
	struct heap_type old;
	char name[] = "type000";

	(void)state;
	start(RAM);
	for (unsigned i = 0; i <= TYPES_MAX; i++) {
		name[4] = (char)('0' + i / 100);
		name[5] = (char)('0' + i / 10 % 10);
		name[6] = (char)('0' + i % 10);
		assert_int_equal(heap_type_create(CELL(1), name, 8, OBJECT_NO_OPS, &types[i]),
				 i < TYPES_MAX ? 0 : -ENOMEM);
	}
	old = types[77];
	assert_int_equal(heap_type_destroy(types[77]), 0);
	assert_int_equal(heap_type_create(CELL(1), name, 24, OBJECT_NO_OPS, &types[77]), 0);
	assert_int_not_equal(types[77].id, old.id);
	assert_int_equal(heap_type_destroy(old), -ESTALE);
	for (unsigned i = 0; i < TYPES_MAX; i++)
		assert_int_equal(heap_type_destroy(types[i]), 0);
}

struct visitor {
	struct heap_type type;
	size_t n, stop_at;
	uint64_t tasks;
	bool destroys;
};

static int visit(struct handle h, void *object, struct object_owner owner, void *arg)
{
	struct visitor *v = arg;

	assert_ptr_equal(object_get(v->type, h), object);
	v->tasks += owner.task;
	if (v->destroys)
		assert_int_equal(object_destroy(v->type, h), 0);
	return ++v->n == v->stop_at ? 5 : 0;
}

static void test_for_each(void **state)
{
	static struct handle handles[1000];
	struct visitor v = {0};

	(void)state;
	start(RAM);
	v.type = make_type("thing", sizeof(struct thing));
	assert_int_equal(object_for_each(v.type, visit, &v), 0);
	assert_int_equal(v.n, 0);
	for (size_t i = 0; i < 1000; i++)
		handles[i] = make_object(v.type, 1, i);
	for (size_t i = 0; i < 1000; i += 3)
		assert_int_equal(object_destroy(v.type, handles[i]), 0);
	assert_int_equal(object_for_each(v.type, visit, &v), 0);
	assert_int_equal(v.n, 666);
	assert_int_equal(v.tasks, 999 * 500 - 3 * 333 * 167);
	v.n = 0;
	v.stop_at = 10;
	assert_int_equal(object_for_each(v.type, visit, &v), 5);
	assert_int_equal(v.n, 10);
	v.n = 0;
	v.stop_at = 0;
	v.destroys = true;
	assert_int_equal(object_for_each(v.type, visit, &v), 0);
	assert_int_equal(v.n, 666);
	assert_int_equal(stats(0).objects, 0);
	assert_int_equal(heap_type_destroy(v.type), 0);
}

/* Objects come and go; memory follows, and every handle names what it was given for. */
static void test_object_fuzz(void **state)
{
	static struct {
		struct handle h;
		uint64_t tag;
		bool live;
	} objects[4000];
	struct heap_type type;

	(void)state;
	start(RAM);
	type = make_type("thing", 200);
	memset(objects, 0, sizeof(objects));
	for (int i = 0; i < 60000; i++) {
		/* first many are made, then few remain */
		size_t k = sim_below(i < 30000 ? ARRAY_SIZE(objects) : 100);
		uint64_t *object;

		if (i == 30000) {
			for (size_t j = 100; j < ARRAY_SIZE(objects); j++) {
				if (objects[j].live)
					assert_int_equal(object_destroy(type, objects[j].h), 0);
				objects[j].live = false;
			}
		}
		object = object_get(type, objects[k].h);
		assert_true((object != NULL) == objects[k].live);
		if (object) {
			assert_true(*object == objects[k].tag);
			assert_int_equal(object_destroy(type, objects[k].h), 0);
			objects[k].live = false;
			continue;
		}
		objects[k].h = make_object(type, 1, 1);
		object = object_get(type, objects[k].h);
		assert_non_null(object);
		objects[k].tag = sim_random();
		*object = objects[k].tag;
		objects[k].live = true;
	}
	/* a chunk of 16 for each at worst */
	assert_true(region_pages() < 150 + idle_pages);
	for (size_t j = 0; j < 100; j++) {
		if (objects[j].live)
			assert_int_equal(object_destroy(type, objects[j].h), 0);
	}
	assert_int_equal(stats(0).objects, 0);
	assert_int_equal(heap_type_destroy(type), 0);
	heap_trim();
	assert_in_range(region_pages(), idle_pages, idle_pages + ARENA_PAGES);
}

/* A type keeps a chunk that nothing lives in for its next object, until memory is asked for. */
static void test_trim_takes_kept_chunks(void **state)
{
	struct heap_type types[10];
	char name[] = "thing 0";

	(void)state;
	start(RAM);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		name[6] = (char)('0' + i);
		types[i] = make_type(name, HEAP_OBJECT_MAX);
		assert_int_equal(object_destroy(types[i], make_object(types[i], 1, 1)), 0);
	}
	assert_true(region_pages() >= idle_pages + ARRAY_SIZE(types) * HEAP_OBJECT_MAX / PAGE_SIZE);
	heap_trim();
	assert_in_range(region_pages(), idle_pages, idle_pages + ARENA_PAGES);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		struct handle h = make_object(types[i], 1, 1);

		assert_non_null(object_get(types[i], h));
		assert_int_equal(object_destroy(types[i], h), 0);
		assert_int_equal(heap_type_destroy(types[i]), 0);
	}
	heap_trim();
	assert_in_range(region_pages(), idle_pages, idle_pages + ARENA_PAGES);
}

static void test_object_failures(void **state)
{
	(void)state;
	for (int in_gate = 0; in_gate < 2; in_gate++) {
		for (int64_t nth = 1;; nth++) {
			struct heap_type type = {0};
			struct handle h = {0};
			int r, made = 0;

			sim_boot(RAM);
			assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
			assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
			assert_int_equal(sim_start(&__provide_cell_ops__heap), 0);
			*(in_gate ? &sim.fail_in : &sim.frames_fail_in) = nth;
			r = heap_type_create(CELL(1), "thing", 12000, OBJECT_NO_OPS, &type);
			while (r == 0 && sim.failures == 0 && made < 40) {
				r = object_create(type, (struct object_owner){CELL(1), 1}, &h);
				made += r == 0;
			}
			if (sim.failures == 0)
				break;
			assert_true(r == 0 || r == -ENOMEM);
			assert_int_equal(stats(1).objects, made);
			if (type.id == 0)
				assert_int_equal(heap_type_create(CELL(1), "thing", 12000,
								  OBJECT_NO_OPS, &type),
						 0);
			assert_int_equal(object_create(type, (struct object_owner){CELL(1), 1}, &h),
					 0);
			assert_non_null(object_get(type, h));
			assert_int_equal(stats(1).objects, made + 1);
			assert_int_equal(sim.refused, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_alloc_failures),
		cmocka_unit_test(test_two_cpus),
#if HEAP_CHECKS >= CHECKS_PARTIAL
		cmocka_unit_test(test_double_free),
		cmocka_unit_test(test_wrong_free),
#endif
#if HEAP_CHECKS == CHECKS_SAFE
		cmocka_unit_test(test_write_past_end),
		cmocka_unit_test(test_write_after_free),
		cmocka_unit_test(test_quarantine),
#endif
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_object_refusals),
		cmocka_unit_test(test_many_types),
		cmocka_unit_test(test_for_each),
		cmocka_unit_test(test_object_fuzz),
		cmocka_unit_test(test_trim_takes_kept_chunks),
		cmocka_unit_test(test_object_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
