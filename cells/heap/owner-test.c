/* SPDX-License-Identifier: MIT */
/* Objects and their owners: what goes with a task, what does not, and who is told. */
#include "internal.h"

#include <string.h>
#include <sys/mman.h>
#include <theseus/ledger.h>

#include "sim.h"

extern const struct cell_ops __provide_cell_ops__frames, __provide_cell_ops__mapped,
	__provide_cell_ops__heap;
extern const struct ledger_ops __provide_ledger_ops__heap;

#define SERVER ((struct cell_ref){7})
#define CLIENT ((struct cell_ref){8})

unsigned heap_this_cpu(void)
{
	return 0;
}

struct heap_cpu *heap_cpu(unsigned i)
{
	static struct heap_cpu cpus[GATE_MAX_CPUS];

	return &cpus[i];
}

static struct {
	struct heap_type type;
	unsigned dropped;
	struct handle last, victim; /* victim: destroyed by the next drop */
	bool refused;               /* the dropped object was behind no handle */
} seen;

static void drop(struct handle h, void *object)
{
	const uint64_t *payload = object;
	struct handle again;

	seen.dropped++;
	seen.last = h;
	seen.refused = !object_get(seen.type, h) && object_destroy(seen.type, h) == -ESTALE &&
		       *payload == h.slot;
	if (seen.victim.type) {
		again = TAKE(seen.victim);
		assert_int_equal(object_destroy(seen.type, again), 0);
	}
}
static const struct object_ops ops = {.drop = drop};

/* An interface slot, as the loader would have made it. */
static struct object_ops_h ops_handle(void)
{
	struct iface_slot *slots = (struct iface_slot *)(uintptr_t)sim_iface_table;

	assert_ptr_equal(mmap(slots, PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 slots);
	slots[3] = (struct iface_slot){&ops, 1, SERVER.id};
	return (struct object_ops_h){{3, 1}};
}

static void start(void)
{
	sim_boot(4000);
	sim.tables_left = 100;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__heap), 0);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(heap_type_create(SERVER, "thing", 24, ops_handle(), &seen.type), 0);
}

static struct handle make(struct cell_ref cell, uint64_t task)
{
	struct handle h = {0};
	uint64_t *payload;

	assert_int_equal(object_create(seen.type, (struct object_owner){cell, task}, &h), 0);
	payload = object_get(seen.type, h);
	*payload = h.slot;
	return h;
}

static uint64_t objects_of(struct cell_ref cell)
{
	struct heap_stats s;

	heap_stats(cell, &s);
	return s.objects;
}

static void end_task(uint64_t task)
{
	__provide_ledger_ops__heap.task_ended(task);
}

static void test_is_retired_before_it_is_freed(void **state)
{
	struct handle h, again = {0};
	void *object = NULL;

	(void)state;
	start();
	h = make(CLIENT, 5);
	assert_int_equal(object_retire((struct heap_type){seen.type.id + 1}, h, &object), -ESTALE);
	assert_int_equal(object_retire(seen.type, h, &object), 0);
	assert_int_equal(*(uint64_t *)object, h.slot); /* its memory is there */
	assert_null(object_get(seen.type, h));
	assert_int_equal(object_destroy(seen.type, h), -ESTALE);
	assert_int_equal(object_retire(seen.type, h, &object), -ESTALE);
	assert_int_equal(object_count(seen.type), 1);
	assert_int_equal(objects_of(CLIENT), 1);
	end_task(5);
	assert_int_equal(seen.dropped, 0);
	object_release(object);
	object_release(NULL);
	assert_int_equal(object_count(seen.type), 0);
	assert_int_equal(objects_of(CLIENT), 0);
	again = make(CLIENT, 5);
	assert_int_equal(again.slot, h.slot);
	assert_int_equal(object_destroy(seen.type, again), 0);
}

static void test_goes_with_its_task(void **state)
{
	struct handle kept, mine;

	(void)state;
	start();
	kept = make(CLIENT, 0);
	mine = make(CLIENT, 5);
	(void)make(SERVER, 5);
	/* its low bits are the same: in the same list */
	(void)make(SERVER, 5 + 4096);
	assert_int_equal(object_count(seen.type), 4);
	end_task(6);
	end_task(0);
	assert_int_equal(seen.dropped, 0);
	end_task(5);
	assert_int_equal(seen.dropped, 2);
	assert_true(seen.refused);
	assert_null(object_get(seen.type, mine));
	assert_int_equal(objects_of(CLIENT), 1);
	end_task(5);
	assert_int_equal(seen.dropped, 2);
	end_task(5 + 4096);
	assert_int_equal(seen.dropped, 3);
	assert_int_equal(object_count(seen.type), 1);
	/* who destroys an object himself is not told */
	assert_int_equal(object_destroy(seen.type, kept), 0);
	assert_int_equal(seen.dropped, 3);
	assert_int_equal(heap_type_destroy(seen.type), 0);
	assert_int_equal(object_count(seen.type), 0);
}

static void test_drop_destroys_others(void **state)
{
	struct handle first, second;

	(void)state;
	start();
	first = make(CLIENT, 5);
	second = make(CLIENT, 5);
	seen.victim = first; /* newest first: second is dropped and takes the other with it */
	end_task(5);
	assert_int_equal(seen.dropped, 1);
	assert_int_equal(seen.last.slot, second.slot);
	assert_int_equal(object_count(seen.type), 0);
	assert_int_equal(objects_of(CLIENT), 0);
}

static void test_set_owner(void **state)
{
	struct handle h;

	(void)state;
	start();
	h = make(CLIENT, 5);
	assert_int_equal(object_set_owner(seen.type, h, (struct object_owner){SERVER, 9}), 0);
	assert_int_equal(objects_of(CLIENT), 0);
	assert_int_equal(objects_of(SERVER), 1);
	end_task(5);
	assert_int_equal(seen.dropped, 0);
	assert_non_null(object_get(seen.type, h));
	assert_int_equal(object_set_owner(seen.type, h, (struct object_owner){{IFACE_SLOTS}, 9}), -EINVAL);
	end_task(9);
	assert_int_equal(seen.dropped, 1);
	assert_int_equal(objects_of(SERVER), 0);
	assert_int_equal(object_set_owner(seen.type, h, (struct object_owner){SERVER, 9}), -ESTALE);
}

/* Unlinking from every place of a list, whatever the order. */
static void test_many(void **state)
{
	enum { N = 2000 };
	static struct handle h[N];

	(void)state;
	start();
	for (unsigned i = 0; i < N; i++)
		h[i] = make(CLIENT, i % 4 ? 5 : 5 + 4096);
	for (unsigned i = 0; i < N / 2; i++) {
		unsigned at = (unsigned)sim_below(N);

		if (object_get(seen.type, h[at]))
			assert_int_equal(object_destroy(seen.type, h[at]), 0);
	}
	end_task(5);
	for (unsigned i = 0; i < N; i++) {
		if (i % 4)
			assert_null(object_get(seen.type, h[i]));
	}
	assert_in_range(object_count(seen.type), 1, N / 4);
	end_task(5 + 4096);
	assert_int_equal(object_count(seen.type), 0);
}

static void test_without_drop(void **state)
{
	struct heap_type plain;
	struct handle h;

	(void)state;
	start();
	assert_int_equal(heap_type_create(SERVER, "plain", 8, OBJECT_NO_OPS, &plain), 0);
	assert_int_equal(object_create(plain, (struct object_owner){CLIENT, 5}, &h), 0);
	end_task(5);
	assert_int_equal(object_count(plain), 0);
	assert_int_equal(objects_of(CLIENT), 0);
}

static void test_find_type(void **state)
{
	struct heap_type found = {0};

	(void)state;
	start();
	assert_int_equal(heap_type_find(SERVER, "thing", &found), 0);
	assert_int_equal(found.id, seen.type.id);
	assert_int_equal(heap_type_find(CLIENT, "thing", &found), -ENOENT);
	assert_int_equal(heap_type_find(SERVER, "thin", &found), -ENOENT);
	assert_int_equal(heap_type_find(SERVER, "thing2", &found), -ENOENT);
	assert_int_equal(heap_type_destroy(seen.type), 0);
	assert_int_equal(heap_type_find(SERVER, "thing", &found), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_retired_before_it_is_freed),
		cmocka_unit_test(test_goes_with_its_task),
		cmocka_unit_test(test_drop_destroys_others),
		cmocka_unit_test(test_set_owner),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_without_drop),
		cmocka_unit_test(test_find_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
