/* SPDX-License-Identifier: MIT */
/* What other cells do when memory runs out: tasks, files. And that the sweep finds mistakes. */
#include <theseus/test-sweep.h>

#include <string.h>
#include <theseus/channel.h>
#include <theseus/vfs.h>

/* ---- spawn ---- */

static int64_t return_at_once(uint64_t arg)
{
	return (int64_t)arg;
}
CELL_PROVIDE(task_ops, heap_test_returns) = {.run = return_at_once};

static int spawn(void *arg)
{
	const struct task_attr attr = {.name = "sweep", .stack_bytes = 5 * PAGE_SIZE};

	return task_spawn(&attr, IFACE(task_ops, heap_test_returns), 7, arg);
}

static void join(void *arg)
{
	const struct task_ref *task = arg;
	struct task_exit end;

	while (task_join(*task, CLOCK_NEVER, &end) == -ETIMEDOUT)
		;
}

static int spawn_out_of_memory(struct test *test)
{
	struct task_ref task;
	const struct test_sweep s = {spawn, join, &task};

	return test_sweep(test, &s);
}
CELL_PROVIDE(test_ops, sweep_spawn) = {.run = spawn_out_of_memory};

/* ---- files ---- */

#define BYTES 20000u

static void remove_files(void *arg)
{
	bool *wrong = arg;
	int r = vfs_unlink("/sweep/b");

	if (r == -ENOENT)
		r = vfs_unlink("/sweep/a");
	*wrong |= r < 0 && r != -ENOENT;
	r = vfs_rmdir("/sweep");
	*wrong |= r < 0 && r != -ENOENT;
}

static int write_file(void)
{
	const struct object_owner owner = {CELL_SELF, task_id(task_self())};
	OWNED(vfs_close_drop) struct vfs_file file = {0};
	OWNED(heap_drop) char *bytes = heap_alloc(CELL_SELF, BYTES);
	int64_t n;
	int r;

	if (!bytes)
		return -ENOMEM;
	memset(bytes, 'x', BYTES);
	r = vfs_open("/sweep/a", VFS_READ | VFS_WRITE | VFS_CREATE, owner, &file);
	if (r < 0)
		return r;
	n = vfs_write(file, bytes, BYTES);
	if (n >= 0 && n < BYTES)
		return -ENOMEM;
	if (n < 0)
		return (int)n;
	if (vfs_seek(file, 0, VFS_FROM_START) != 0)
		return -EIO;
	n = vfs_read(file, bytes, BYTES);
	return n == BYTES ? 0 : n < 0 ? (int)n : -EIO;
}

static int make_files(void *arg)
{
	int r = vfs_mkdir("/sweep");

	if (r == 0)
		r = write_file();
	if (r == 0)
		r = vfs_rename("/sweep/a", "/sweep/b");
	if (r < 0)
		remove_files(arg);
	return r;
}

static int files_out_of_memory(struct test *test)
{
	bool wrong = false;
	const struct test_sweep s = {make_files, remove_files, &wrong};
	int r = test_sweep(test, &s);

	TEST_CHECK(test, !wrong);
	return r;
}
CELL_PROVIDE(test_ops, sweep_files) = {.run = files_out_of_memory};

/* ---- channels ---- */

#define MESSAGES 40u

struct ends {
	struct channel_end send, receive, more;
};

static void close_ends(void *arg)
{
	struct ends *e = arg;

	(void)channel_close(e->more);
	(void)channel_close(e->receive);
	(void)channel_close(e->send);
	*e = (struct ends){0};
}

static int exchange(struct ends *e)
{
	uint64_t message[32] = {0};
	struct channel_case at = {.end = e->receive, .message = message};
	int r = 0;

	for (unsigned i = 0; i < MESSAGES && r == 0; i++)
		r = channel_send(e->send, message, 0);
	for (unsigned i = 0; i < MESSAGES / 2 && r == 0; i++)
		r = channel_receive(e->more, message, 0);
	return r < 0 ? r : channel_select(&at, 1, 0);
}

static int make_channel(void *arg)
{
	const struct channel_attr attr = {
		.kind = CHANNEL_ASYNC,
		.bytes = CHANNEL_MESSAGE_MAX,
		.capacity = MESSAGES,
		.owner = {CELL_SELF, task_id(task_self())},
	};
	struct ends *e = arg;
	int r = channel_create(&attr, &e->send, &e->receive);

	if (r < 0)
		return r;
	r = channel_reconnect(e->receive, attr.owner, &e->more);
	if (r == 0)
		r = exchange(e);
	if (r < 0)
		close_ends(e);
	return r;
}

static int channels_out_of_memory(struct test *test)
{
	struct ends ends = {0};
	const struct test_sweep s = {make_channel, close_ends, &ends};

	return test_sweep(test, &s);
}
CELL_PROVIDE(test_ops, sweep_channels) = {.run = channels_out_of_memory};

/* ---- the sweep itself ---- */

struct leak {
	void *p[2];
	int error;
};

static void free_both(void *arg)
{
	struct leak *l = arg;

	heap_free(TAKE(l->p[0]));
	heap_free(TAKE(l->p[1]));
}

/* Forgets the first block when there is no second one, or says the wrong thing. */
static int forgetful(void *arg)
{
	struct leak *l = arg;

	l->p[0] = heap_alloc(CELL_SELF, 100);
	if (!l->p[0])
		return -ENOMEM;
	l->p[1] = heap_alloc(CELL_SELF, 100);
	if (l->p[1])
		return 0;
	if (l->error != -ENOMEM)
		heap_free(TAKE(l->p[0]));
	return l->error;
}

static int finds_mistakes(struct test *test)
{
	struct leak leak = {.error = -ENOMEM};
	const struct test_sweep s = {forgetful, free_both, &leak};
	struct test inner = {0};

	TEST_CHECK(test, test_sweep(&inner, &s) == TEST_FAILED);
	free_both(&leak);
	TEST_CHECK(test, strcmp(inner.reason, "allocation 2 fails: something is left over") == 0);
	leak.error = -EIO;
	inner = (struct test){0};
	TEST_CHECK(test, test_sweep(&inner, &s) == TEST_FAILED);
	TEST_CHECK(test,
		   strcmp(inner.reason, "allocation 2 fails: another error than -ENOMEM") == 0);
	TEST_CHECK(test, !heap_fail_nth(0));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, sweep_finds_mistakes) = {.run = finds_mistakes};
