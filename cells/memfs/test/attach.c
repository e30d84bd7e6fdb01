/* SPDX-License-Identifier: MIT */
/* Tasks that find memfs without its state, all at once: a tree of this cell's own. */
#include <theseus/task.h>
#include <theseus/test.h>

#include "../internal.h"

#include <string.h>

/* Whoever makes a root waits until all others do. */
static int create_with_all(struct heap_type type, struct object_owner owner, struct handle *ret);
#define object_create(type, owner, ret) create_with_all((type), (owner), (ret))
#include "../attach.c"
#undef object_create

CELL_INFO(.name = "memfs_test", .version = "1.0.0", .summary = "tests of files' memory",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

#define ATTACHERS 8u
#define ROUNDS 20u

struct memfs_test_state {
	struct memfs_state memfs;
	uint32_t missing; /* atomic: attachers that have made no node yet */
};
CELL_STATE(struct memfs_test_state, state);

struct memfs_state *memfs_state(void)
{
	return &state.memfs;
}

static int create_with_all(struct heap_type type, struct object_owner owner, struct handle *ret)
{
	int r = object_create(type, owner, ret);

	__atomic_sub_fetch(&state.missing, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&state.missing, __ATOMIC_ACQUIRE) > 0)
		task_yield();
	return r;
}

static int64_t run(uint64_t arg)
{
	(void)arg;
	return memfs_attach();
}
CELL_PROVIDE(task_ops, memfs_test_attach) = {.run = run};

static int attach_all(struct test *test)
{
	struct task_ref tasks[ATTACHERS];
	struct task_exit exit;

	__atomic_store_n(&state.missing, ATTACHERS, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ATTACHERS; i++)
		TEST_CHECK(test,
			   task_spawn(NULL, IFACE(task_ops, memfs_test_attach), 0, &tasks[i]) == 0);
	for (unsigned i = 0; i < ATTACHERS; i++) {
		TEST_CHECK(test, task_join(tasks[i], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0);
	}
	return TEST_PASSED;
}

static int one_root(struct test *test)
{
	int r = TEST_PASSED;

	for (unsigned round = 0; round < ROUNDS && r == TEST_PASSED; round++) {
		struct handle root = state.memfs.root.h;
		bool keep = round % 2;

		if (!keep && round > 0)
			TEST_CHECK(test, object_destroy(memfs_type(MEMFS_NODE), root) == 0);
		memset(&state.memfs, 0, sizeof(state.memfs));
		r = attach_all(test);
		TEST_CHECK(test, object_count(memfs_type(MEMFS_NODE)) == 1);
		TEST_CHECK(test, node_get(state.memfs.root.h)->is_root);
		TEST_CHECK(test, !keep || same_handle(state.memfs.root.h, root));
	}
	TEST_CHECK(test, object_destroy(memfs_type(MEMFS_NODE), state.memfs.root.h) == 0);
	for (unsigned kind = 0; kind < MEMFS_KINDS; kind++)
		TEST_CHECK(test, heap_type_destroy(memfs_type(kind)) == 0);
	return r;
}
CELL_PROVIDE(test_ops, memfs_one_root) = {.run = one_root};
