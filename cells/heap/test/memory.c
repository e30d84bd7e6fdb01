/* SPDX-License-Identifier: MIT */
/* Memory that runs out; objects that go with their task. */
#include <theseus/test-sweep.h>

/* ---- blocks ---- */

static const size_t sizes[] = {1, 100, 1000, 5000, 40000, 200000};

struct blocks {
	void *p[ARRAY_SIZE(sizes)];
};

static void free_all(void *arg)
{
	struct blocks *b = arg;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		heap_free(TAKE(b->p[i]));
}

static int alloc_all(void *arg)
{
	struct blocks *b = arg;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		b->p[i] = heap_alloc(CELL_SELF, sizes[i]);
		if (!b->p[i]) {
			free_all(b);
			return -ENOMEM;
		}
	}
	return 0;
}

static int out_of_memory(struct test *test)
{
	struct blocks blocks = {0};
	const struct test_sweep s = {alloc_all, free_all, &blocks};

	return test_sweep(test, &s);
}
CELL_PROVIDE(test_ops, heap_out_of_memory) = {.run = out_of_memory};

/* ---- typed objects ---- */

#define OBJECTS 20u

struct objects {
	struct heap_type type;
	struct handle h[OBJECTS];
	bool kept; /* a type that could not be destroyed */
};

static void destroy_all(void *arg)
{
	struct objects *o = arg;

	for (unsigned i = 0; i < OBJECTS; i++) {
		if (o->h[i].type)
			(void)object_destroy(o->type, TAKE(o->h[i]));
	}
	o->kept |= heap_type_destroy(o->type) < 0;
}

static int create_all(void *arg)
{
	const struct object_owner owner = {CELL_SELF, task_id(task_self())};
	struct objects *o = arg;
	int r;

	r = heap_type_create(CELL_SELF, "sweep", 1500, OBJECT_NO_OPS, &o->type);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < OBJECTS && r == 0; i++)
		r = object_create(o->type, owner, &o->h[i]);
	if (r < 0)
		destroy_all(o);
	return r;
}

static int objects_out_of_memory(struct test *test)
{
	struct objects objects = {0};
	const struct test_sweep s = {create_all, destroy_all, &objects};
	int r = test_sweep(test, &s);

	TEST_CHECK(test, !objects.kept);
	return r;
}
CELL_PROVIDE(test_ops, heap_objects_out_of_memory) = {.run = objects_out_of_memory};

/* ---- what a task owns goes with it ---- */

static void note_drop(struct handle h, void *object)
{
	(void)h;
	__atomic_add_fetch(*(uint64_t **)object, 1, __ATOMIC_RELAXED);
}
CELL_PROVIDE(object_ops, heap_test_thing) = {.drop = note_drop};

struct orders {
	struct heap_type type;
	uint64_t *drops;
};

static int64_t own_and_return(uint64_t arg)
{
	const struct orders *orders = (const struct orders *)(uintptr_t)arg;
	const struct object_owner owner = {CELL_SELF, task_id(task_self())};
	struct handle h;
	int r = 0;

	for (unsigned i = 0; i < OBJECTS && r == 0; i++) {
		r = object_create(orders->type, owner, &h);
		if (r == 0)
			*(uint64_t **)object_get(orders->type, h) = orders->drops;
	}
	return r;
}
CELL_PROVIDE(task_ops, heap_test_owns) = {.run = own_and_return};

static int objects_go_with_their_task(struct test *test)
{
	OWNED(heap_drop) uint64_t *drops = heap_alloc(CELL_SELF, sizeof(*drops));
	struct orders orders = {.drops = drops};
	struct task_exit end;
	struct task_ref task;

	TEST_CHECK(test, drops);
	*drops = 0;
	TEST_CHECK(test, heap_type_create(CELL_SELF, "thing", sizeof(drops),
					  IFACE(object_ops, heap_test_thing), &orders.type) == 0);
	TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, heap_test_owns), (uintptr_t)&orders,
				    &task) == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &end) == 0);
	TEST_CHECK(test, end.end == TASK_COMPLETED && end.value == 0);
	TEST_CHECK(test, *drops == OBJECTS);
	TEST_CHECK(test, object_count(orders.type) == 0);
	TEST_CHECK(test, heap_type_destroy(orders.type) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, heap_objects_go_with_their_task) = {.run = objects_go_with_their_task};
