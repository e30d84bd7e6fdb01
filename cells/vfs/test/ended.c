/* SPDX-License-Identifier: MIT */
/*
 * Tasks that the ledger ends while they change the tree and what is in it, at whatever instruction
 * they are: what a call has begun is done. The runner looks for what is left over.
 */
#include <theseus/heap.h>
#include <theseus/test.h>

#include "clients.h"

#include <string.h>

#define ENDS 40u
#define FIRST "/ended-first"
#define SECOND "/ended-second"

struct changer {
	uint64_t rounds;
	int64_t error;
	uint8_t buf[5000];
};

static int64_t change(struct changer *me)
{
	struct object_owner owner = {CELL_SELF, task_id(task_self())};
	struct vfs_file file;
	int64_t r = vfs_open(FIRST, VFS_WRITE | VFS_CREATE, owner, &file);

	if (r == 0)
		r = vfs_write(file, me->buf, sizeof(me->buf));
	if (r >= 0)
		r = vfs_truncate(file, 100);
	if (r == 0)
		r = vfs_rename(FIRST, SECOND);
	if (r == 0)
		r = vfs_unlink(SECOND);
	if (r == 0)
		r = vfs_close(file);
	return r;
}

static int64_t change_on(uint64_t arg)
{
	struct changer *me = (struct changer *)(uintptr_t)arg;

	while (me->error == 0 || me->error == -ECANCELED) {
		me->error = change(me);
		__atomic_add_fetch(&me->rounds, 1, __ATOMIC_RELEASE);
	}
	return me->error;
}
CELL_PROVIDE(task_ops, vfs_test_changes) = {.run = change_on};

static int end_one(struct test *test, struct changer *me, uint64_t wait_ns)
{
	const struct task_attr attr = {.name = "changes files", .grace_ns = 1};
	struct task_exit exit;
	struct task_ref task;
	int r;

	memset(me, 0, sizeof(*me));
	r = task_spawn(&attr, IFACE(task_ops, vfs_test_changes), (uintptr_t)me, &task);
	TEST_CHECK(test, r == 0);
	while (!__atomic_load_n(&me->rounds, __ATOMIC_ACQUIRE))
		TEST_CHECK(test, task_sleep_until(clock_after(wait_ns)) == 0);
	TEST_CHECK(test, task_kill(task) == 0);
	TEST_CHECK(test, task_join(task, CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_KILLED);
	TEST_CHECK(test, me->error == 0 || me->error == -ECANCELED);
	r = vfs_unlink(FIRST);
	TEST_CHECK(test, r == 0 || r == -ENOENT);
	r = vfs_unlink(SECOND);
	TEST_CHECK(test, r == 0 || r == -ENOENT);
	return TEST_PASSED;
}

static int ended_half_way(struct test *test)
{
	OWNED(heap_drop) struct changer *me = heap_alloc(CELL_SELF, sizeof(*me));
	int r = TEST_PASSED;

	TEST_CHECK(test, me);
	for (unsigned i = 0; i < ENDS && r == TEST_PASSED; i++)
		r = end_one(test, me, 20000 + i * 7919 % 50000);
	return r;
}
CELL_PROVIDE(test_ops, vfs_ended_half_way) = {.run = ended_half_way};
