/* SPDX-License-Identifier: MIT */
/*
 * vfs on memfs on the heap, in one process. Every test ends by removing what it made, and then
 * nothing but the root may be left: no node, name, index, block or open file.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <theseus/frames.h>
#include <theseus/ledger.h>
#include <theseus/loader.h>

#include "../memfs/internal.h"
#include "internal.h"
#include "sim.h"

extern const struct cell_ops __provide_cell_ops__frames, __provide_cell_ops__mapped,
	__provide_cell_ops__heap, __provide_cell_ops__memfs, __provide_cell_ops__vfs;
extern const struct ledger_ops __provide_ledger_ops__heap;
extern const struct object_ops __provide_object_ops__vfs_file;
extern const struct fs_ops __provide_fs_ops__memfs;

#define RAM 12000u /* pages */
#define ATTACHERS 8u
#define CLIENT ((struct object_owner){.cell = {9}})

/* of the heap */
static _Thread_local unsigned cpu;
unsigned heap_this_cpu(void);
unsigned heap_this_cpu(void)
{
	return cpu;
}

struct heap_cpu {
	void *cache;
	uint32_t inside;
};
struct heap_cpu *heap_cpu(unsigned i);
struct heap_cpu *heap_cpu(unsigned i)
{
	static struct heap_cpu cpus[GATE_MAX_CPUS];

	return &cpus[i];
}

int iface_find(const char *interface, const char *name, struct iface *ret_handle)
{
	assert_string_equal(interface, "fs_ops");
	assert_string_equal(name, "memfs");
	*ret_handle = (struct iface){TEST_SLOT_FS, 1};
	return 0;
}

/* ---- allocations that fail, and none that happen under a lock ---- */

static long fail_in; /* > 0: counts down; the one that makes it 0 fails */
static bool fail_on; /* and from then on all do */
static bool alone;   /* no other thread may hold a lock */

static void expect_no_lock(void)
{
	if (!alone)
		return;
	assert_int_equal(memfs_state()->names.held, 0);
	for (unsigned i = 0; i < DATA_LOCKS; i++)
		assert_int_equal(memfs_state()->data[i].held, 0);
	for (unsigned i = 0; i < FILE_LOCKS; i++)
		assert_int_equal(vfs_state()->locks[i].held, 0);
}

int __real_object_create(struct heap_type type, struct object_owner owner, struct handle *ret);
int __wrap_object_create(struct heap_type type, struct object_owner owner, struct handle *ret);
int __wrap_object_create(struct heap_type type, struct object_owner owner, struct handle *ret)
{
	expect_no_lock();
	if (fail_in > 0 && --fail_in == 0) {
		fail_in = fail_on;
		return -ENOMEM;
	}
	return __real_object_create(type, owner, ret);
}

int __real_object_destroy(struct heap_type type, struct handle h);
int __wrap_object_destroy(struct heap_type type, struct handle h);
int __wrap_object_destroy(struct heap_type type, struct handle h)
{
	expect_no_lock();
	return __real_object_destroy(type, h);
}

void __real_object_release(void *object);
void __wrap_object_release(void *object);
void __wrap_object_release(void *object)
{
	expect_no_lock();
	__real_object_release(object);
}

/* ---- the world ---- */

static struct heap_type file_type(void)
{
	struct heap_type type;

	assert_int_equal(heap_type_find(TEST_CELL, "file", &type), 0);
	return type;
}

/* Objects of all kinds: what a failed operation must not change. */
struct counts {
	uint64_t nodes, entries, indexes, blocks, files;
};

static struct counts counts(void)
{
	const struct heap_type *types = memfs_state()->types;

	return (struct counts){object_count(types[MEMFS_NODE]), object_count(types[MEMFS_ENTRY]),
			       object_count(types[MEMFS_INDEX]), object_count(types[MEMFS_BLOCK]),
			       object_count(file_type())};
}

static void expect_counts(struct counts a)
{
	struct counts b = counts();

	assert_memory_equal(&a, &b, sizeof(a));
}

static void boot(void)
{
	struct iface_slot *slots = (struct iface_slot *)(uintptr_t)sim_iface_table;

	if (mmap(slots, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) != (void *)slots)
		abort();
	slots[TEST_SLOT_FS] = (struct iface_slot){&__provide_fs_ops__memfs, 1, 3};
	slots[TEST_SLOT_vfs_file] = (struct iface_slot){&__provide_object_ops__vfs_file, 1, 3};
	sim_boot(RAM);
	sim_record.cpus = ATTACHERS;
	sim.tables_left = 100;
	assert_int_equal(sim_start(&__provide_cell_ops__frames), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__mapped), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__heap), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__memfs), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__vfs), 0);
	fail_in = 0;
	fail_on = false;
	alone = true;
}

/* Both lose their state. */
static void restart(void)
{
	memset(memfs_state(), 0, sizeof(struct memfs_state));
	memset(vfs_state(), 0, sizeof(struct vfs_state));
	assert_int_equal(sim_start(&__provide_cell_ops__memfs), 0);
	assert_int_equal(sim_start(&__provide_cell_ops__vfs), 0);
}

static int setup(void **state)
{
	(void)state;
	boot();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	expect_counts((struct counts){.nodes = 1});
	return 0;
}

static struct vfs_file open_file(const char *path, unsigned flags)
{
	struct vfs_file file = {{0}};

	assert_int_equal(vfs_open(path, flags, CLIENT, &file), 0);
	return file;
}

static void make(const char *path, const char *text)
{
	struct vfs_file f = open_file(path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE);

	assert_int_equal(vfs_write(f, text, strlen(text)), strlen(text));
	assert_int_equal(vfs_close(f), 0);
}

static void expect_text(const char *path, const char *text)
{
	struct vfs_file f = open_file(path, VFS_READ);
	char buf[200];
	int64_t n = vfs_read(f, buf, sizeof(buf));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	assert_int_equal(vfs_close(f), 0);
}

static struct fs_stat stat_of(const char *path)
{
	struct fs_stat s = {0};

	assert_int_equal(vfs_stat(path, &s), 0);
	return s;
}

static bool is_there(const char *path)
{
	struct fs_stat s;
	int r = vfs_stat(path, &s);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* ---- files ---- */

static void files_keep_what_is_written(void **state)
{
	struct vfs_file f;
	char buf[16];

	(void)state;
	make("/a", "hello world");
	expect_text("/a", "hello world");
	f = open_file("/a", VFS_READ | VFS_WRITE);
	assert_int_equal(vfs_read(f, buf, 6), 6);
	assert_int_equal(vfs_write(f, "there", 5), 5);
	assert_int_equal(vfs_read(f, buf, sizeof(buf)), 0);
	assert_int_equal(vfs_seek(f, -5, VFS_FROM_END), 6);
	assert_int_equal(vfs_seek(f, -6, VFS_FROM_HERE), 0);
	assert_int_equal(vfs_read(f, buf, sizeof(buf)), 11);
	assert_memory_equal(buf, "hello there", 11);
	assert_int_equal(vfs_close(f), 0);
	f = open_file("/a", VFS_WRITE | VFS_APPEND);
	assert_int_equal(vfs_write(f, "!", 1), 1);
	assert_int_equal(vfs_close(f), 0);
	expect_text("/a", "hello there!");
	make("/a", "");
	assert_int_equal(stat_of("/a").size, 0);
	assert_int_equal(vfs_unlink("/a"), 0);
	assert_false(is_there("/a"));
}

static void gaps_read_as_zeros(void **state)
{
	struct vfs_file f = open_file("/sparse", VFS_READ | VFS_WRITE | VFS_CREATE);
	uint8_t buf[4000];

	(void)state;
	assert_int_equal(vfs_seek(f, 100000000, VFS_FROM_START), 100000000);
	assert_int_equal(vfs_write(f, "x", 1), 1);
	assert_int_equal(stat_of("/sparse").size, 100000001);
	assert_int_equal(stat_of("/sparse").blocks, 1024);
	assert_int_equal(vfs_seek(f, 99999000, VFS_FROM_START), 99999000);
	assert_int_equal(vfs_read(f, buf, sizeof(buf)), 1001);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[1000], 'x');
	/* what is cut off does not come back */
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_START), 0);
	assert_int_equal(vfs_write(f, "secret", 6), 6);
	assert_int_equal(vfs_truncate(f, 2), 0);
	assert_int_equal(stat_of("/sparse").blocks, 1024);
	assert_int_equal(vfs_truncate(f, 2000), 0);
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_START), 0);
	assert_int_equal(vfs_read(f, buf, sizeof(buf)), 2000);
	assert_memory_equal(buf, "se\0\0\0\0", 6);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_unlink("/sparse"), 0);
}

/* A file beside a flat array, with operations at random. */
static void any_sequence_is_right(void **state)
{
	enum { MAX = 300000 };
	static uint8_t model[MAX], buf[MAX];
	struct vfs_file f = open_file("/r", VFS_READ | VFS_WRITE | VFS_CREATE);
	size_t size = 0;

	(void)state;
	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 3000; i++) {
		size_t at = sim_below(MAX - 5000), n = 1 + sim_below(5000);

		switch (sim_below(8)) {
		case 0:
			assert_int_equal(vfs_truncate(f, at), 0);
			if (at < size)
				memset(model + at, 0, size - at);
			size = at;
			break;
		case 1:
		case 2:
		case 3:
			for (size_t k = 0; k < n; k++)
				model[at + k] = buf[k] = (uint8_t)sim_random();
			assert_int_equal(vfs_seek(f, (int64_t)at, VFS_FROM_START), at);
			assert_int_equal(vfs_write(f, buf, n), n);
			size = at + n > size ? at + n : size;
			break;
		default:
			assert_int_equal(vfs_seek(f, (int64_t)at, VFS_FROM_START), at);
			n = at >= size ? 0 : n < size - at ? n : size - at;
			assert_int_equal(vfs_read(f, buf, 5000), at + 5000 <= size ? 5000
								 : at >= size      ? 0
										   : size - at);
			assert_memory_equal(buf, model + at, n);
		}
		if (i % 500 == 0)
			restart();
	}
	assert_int_equal(stat_of("/r").size, size);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_unlink("/r"), 0);
}

static void files_have_limits(void **state)
{
	struct vfs_file f = open_file("/big", VFS_READ | VFS_WRITE | VFS_CREATE);
	static uint8_t buf[VFS_IO_MAX + 1];
	int64_t r = 0;

	(void)state;
	assert_int_equal(vfs_write(f, buf, sizeof(buf)), VFS_IO_MAX);
	assert_int_equal(vfs_truncate(f, FILE_BYTES_MAX + 1), -EFBIG);
	assert_int_equal(vfs_truncate(f, FILE_BYTES_MAX), 0);
	assert_int_equal(vfs_seek(f, -1, VFS_FROM_END), FILE_BYTES_MAX - 1);
	assert_int_equal(vfs_write(f, "ab", 2), 1);
	assert_int_equal(vfs_write(f, "b", 1), -EFBIG);
	assert_int_equal(vfs_truncate(f, 0), 0);
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_START), 0);
	while (r >= 0)
		r = vfs_write(f, buf, VFS_IO_MAX);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(vfs_mkdir("/d"), -ENOSPC);
	assert_true(stat_of("/big").size > 8 << 20);
	assert_int_equal(vfs_unlink("/big"), 0);
	assert_int_equal(vfs_mkdir("/d"), -ENOSPC); /* it is open still */
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_mkdir("/d"), 0);
	assert_int_equal(vfs_rmdir("/d"), 0);
}

/* What did not fit moved nothing, not even to where the file ends. */
static void appends_that_are_cut_short_keep_the_position(void **state)
{
	struct vfs_file f;
	char buf[3000] = "x";

	(void)state;
	make("/a", "");
	f = open_file("/a", VFS_READ | VFS_WRITE | VFS_APPEND);
	fail_in = 3; /* a block, an index and a block */
	assert_int_equal(vfs_write(f, buf, sizeof(buf)), 1024);
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_HERE), 1024);
	assert_int_equal(vfs_write(f, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_HERE), 4024);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_unlink("/a"), 0);
}

/* Up to a block's size, a write that finds room for its beginning only is one step still. */
static void writes_over_a_block_boundary_end_where_memory_does(void **state)
{
	struct vfs_file f;
	char buf[1000];

	(void)state;
	make("/a", "");
	f = open_file("/a", VFS_READ | VFS_WRITE);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(vfs_seek(f, 500, VFS_FROM_START), 500);
	fail_in = 2;
	fail_on = true;
	assert_int_equal(vfs_write(f, buf, sizeof(buf)), 524);
	fail_in = 0;
	assert_int_equal(stat_of("/a").size, 1024);
	assert_int_equal(stat_of("/a").blocks, 1024);
	assert_int_equal(vfs_seek(f, 500, VFS_FROM_START), 500);
	assert_int_equal(vfs_write(f, buf, sizeof(buf)), 1000);
	assert_int_equal(stat_of("/a").size, 1500);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_unlink("/a"), 0);
}

static void an_open_file_outlives_its_name(void **state)
{
	struct vfs_file f, g;
	char buf[4];

	(void)state;
	make("/a", "data");
	f = open_file("/a", VFS_READ);
	assert_int_equal(stat_of("/a").opens, 1);
	assert_int_equal(vfs_unlink("/a"), 0);
	restart();
	make("/a", "new");
	g = open_file("/a", VFS_READ);
	make("/b", "other");
	assert_int_equal(vfs_rename("/b", "/a"), 0);
	assert_int_equal(vfs_read(f, buf, 4), 4);
	assert_memory_equal(buf, "data", 4);
	assert_int_equal(vfs_read(g, buf, 4), 3);
	assert_memory_equal(buf, "new", 3);
	expect_text("/a", "other");
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_close(f), -ESTALE);
	assert_int_equal(vfs_read(f, buf, 4), -ESTALE);
	assert_int_equal(vfs_close(g), 0);
	assert_int_equal(vfs_unlink("/a"), 0);
}

/* The ledger closes what a task left open. */
static void files_go_with_their_task(void **state)
{
	struct object_owner owner = {.cell = {9}, .task = 77};
	struct vfs_file f[20], mine;
	char buf[4];

	(void)state;
	make("/a", "data");
	mine = open_file("/a", VFS_READ);
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
		assert_int_equal(vfs_open("/a", VFS_READ, owner, &f[i]), 0);
	assert_int_equal(vfs_close(f[3]), 0);
	assert_int_equal(stat_of("/a").opens, ARRAY_SIZE(f));
	__provide_ledger_ops__heap.task_ended(77);
	assert_int_equal(stat_of("/a").opens, 1);
	assert_int_equal(vfs_read(f[0], buf, 4), -ESTALE);
	assert_int_equal(vfs_read(mine, buf, 4), 4);
	assert_int_equal(vfs_unlink("/a"), 0);
	assert_int_equal(vfs_close(mine), 0);
}

static void flags_are_checked(void **state)
{
	struct vfs_file f = {{0}};
	char buf[4];

	(void)state;
	assert_int_equal(vfs_open("/a", 0, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_CREATE, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", 1024 | VFS_READ, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_READ | VFS_TRUNCATE, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_READ | VFS_APPEND, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_READ | VFS_EXCLUSIVE, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_WRITE | VFS_DIRECTORY, CLIENT, &f), -EINVAL);
	assert_int_equal(vfs_open("/a", VFS_READ, CLIENT, &f), -ENOENT);
	assert_int_equal(vfs_open("/", VFS_READ, CLIENT, &f), -EISDIR);
	assert_int_equal(vfs_open("/", VFS_WRITE | VFS_CREATE, CLIENT, &f), -EISDIR);
	assert_int_equal(vfs_open("/a/", VFS_WRITE | VFS_CREATE, CLIENT, &f), -EISDIR);
	f = open_file("/a", VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE);
	assert_int_equal(vfs_read(f, buf, 4), -EBADF);
	assert_int_equal(vfs_readdir(f, NULL), -ENOTDIR);
	assert_int_equal(vfs_seek(f, -1, VFS_FROM_START), -EINVAL);
	assert_int_equal(vfs_seek(f, INT64_MIN, VFS_FROM_END), -EINVAL);
	assert_int_equal(vfs_seek(f, INT64_MAX, VFS_FROM_START), INT64_MAX);
	assert_int_equal(vfs_seek(f, 1, VFS_FROM_HERE), -EINVAL);
	assert_int_equal(vfs_seek(f, 0, (enum vfs_whence)9), -EINVAL);
	assert_int_equal(vfs_write(f, "x", 1), -EFBIG);
	assert_int_equal(vfs_close(f), 0);
	f = open_file("/a", VFS_READ);
	assert_int_equal(vfs_read(f, buf, 4), 0);
	assert_int_equal(vfs_write(f, "x", 1), -EBADF);
	assert_int_equal(vfs_truncate(f, 0), -EBADF);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_open("/a", VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, CLIENT, &f),
			 -EEXIST);
	assert_int_equal(vfs_open("/a", VFS_DIRECTORY, CLIENT, &f), -ENOTDIR);
	assert_int_equal(vfs_open("/a/", VFS_READ, CLIENT, &f), -ENOTDIR);
	assert_int_equal(vfs_open("/a/b", VFS_READ, CLIENT, &f), -ENOTDIR);
	assert_int_equal(vfs_open("a", VFS_READ, CLIENT, &f), -EINVAL);
	f = open_file("/", VFS_DIRECTORY);
	assert_int_equal(vfs_read(f, buf, 4), -EISDIR);
	assert_int_equal(vfs_seek(f, 0, VFS_FROM_START), -EISDIR);
	assert_int_equal(vfs_close(f), 0);
	assert_int_equal(vfs_close((struct vfs_file){{0}}), -ESTALE);
	assert_int_equal(vfs_unlink("/a"), 0);
}

/* ---- directories ---- */

static void directories_nest(void **state)
{
	struct vfs_file d;
	struct fs_entry e;

	(void)state;
	assert_int_equal(vfs_mkdir("/d"), 0);
	assert_int_equal(vfs_mkdir("/d/e/"), 0);
	assert_int_equal(vfs_mkdir("/d"), -EEXIST);
	assert_int_equal(vfs_mkdir("/"), -EEXIST);
	assert_int_equal(vfs_mkdir("/d/.."), -EINVAL);
	assert_int_equal(vfs_mkdir("/x/y"), -ENOENT);
	make("/d/e/f", "deep");
	expect_text("/d/../d/./e//f", "deep");
	expect_text("/../../d/e/../e/f", "deep");
	assert_int_equal(vfs_mkdir("/d/e/f/g"), -ENOTDIR);
	assert_int_equal(vfs_rmdir("/d"), -ENOTEMPTY);
	assert_int_equal(vfs_rmdir("/"), -EBUSY);
	assert_int_equal(vfs_rmdir("/d/e/f"), -ENOTDIR);
	assert_int_equal(vfs_rmdir("/d/.."), -EINVAL);
	assert_int_equal(vfs_rmdir("/d/e/."), -EINVAL);
	assert_int_equal(vfs_rmdir("/d/e/.//"), -EINVAL);
	assert_int_equal(vfs_rmdir("/."), -EINVAL);
	assert_int_equal(vfs_mkdir("/new/."), -EINVAL);
	assert_int_equal(vfs_unlink("/d/."), -EINVAL);
	assert_int_equal(vfs_rename("/d/e/.", "/e"), -EINVAL);
	assert_int_equal(vfs_rename("/d/e", "/e/."), -EINVAL);
	assert_int_equal(vfs_open("/d/new/.", VFS_WRITE | VFS_CREATE, CLIENT, &d), -EINVAL);
	d = open_file("/d/.", VFS_DIRECTORY);
	assert_int_equal(vfs_close(d), 0);
	assert_int_equal(vfs_unlink("/d/e"), -EISDIR);
	assert_int_equal(vfs_unlink("/"), -EISDIR);
	assert_int_equal(vfs_unlink("/d/e/f/"), -EISDIR);
	assert_int_equal(vfs_unlink("/d/e/f"), 0);
	/* a directory that is open, and gone */
	d = open_file("/d/e", VFS_DIRECTORY);
	assert_int_equal(vfs_rmdir("/d/e"), 0);
	assert_int_equal(vfs_readdir(d, &e), 0);
	assert_int_equal(vfs_close(d), 0);
	assert_int_equal(vfs_rmdir("/d"), 0);
}

static void renames_keep_the_tree(void **state)
{
	(void)state;
	assert_int_equal(vfs_mkdir("/a"), 0);
	assert_int_equal(vfs_mkdir("/a/b"), 0);
	assert_int_equal(vfs_mkdir("/c"), 0);
	make("/f", "f");
	make("/g", "g");
	assert_int_equal(vfs_rename("/f", "/f"), 0);
	assert_int_equal(vfs_rename("/none", "/x"), -ENOENT);
	assert_int_equal(vfs_rename("/f", "/none/x"), -ENOENT);
	assert_int_equal(vfs_rename("/f", "/g/x"), -ENOTDIR);
	assert_int_equal(vfs_rename("/f/", "/x"), -ENOTDIR);
	assert_int_equal(vfs_rename("/", "/x"), -EBUSY);
	assert_int_equal(vfs_rename("/f", "/"), -EBUSY);
	assert_int_equal(vfs_rename("/f", "/a/.."), -EINVAL);
	/* not into itself, and not over what is of another kind or full */
	assert_int_equal(vfs_rename("/a", "/a/b/x"), -EINVAL);
	assert_int_equal(vfs_rename("/a", "/a/x"), -EINVAL);
	assert_int_equal(vfs_rename("/a/b", "/a"), -ENOTEMPTY);
	assert_int_equal(vfs_rename("/f", "/c"), -EISDIR);
	assert_int_equal(vfs_rename("/c", "/f"), -ENOTDIR);
	assert_int_equal(vfs_rename("/c", "/a"), -ENOTEMPTY);
	/* moves, and ".." with them */
	assert_int_equal(vfs_rename("/f", "/a/b/f"), 0);
	assert_int_equal(vfs_rename("/a/b", "/c/b2"), 0);
	expect_text("/c/b2/f", "f");
	expect_text("/c/b2/../b2/f", "f");
	assert_false(is_there("/a/b"));
	assert_int_equal(vfs_rename("/c", "/a/"), 0); /* a is empty */
	expect_text("/a/b2/f", "f");
	assert_int_equal(vfs_rename("/g", "/a/b2/f"), 0);
	expect_text("/a/b2/f", "g");
	assert_false(is_there("/g"));
	assert_int_equal(vfs_unlink("/a/b2/f"), 0);
	assert_int_equal(vfs_rmdir("/a/b2"), 0);
	assert_int_equal(vfs_rmdir("/a"), 0);
}

static void name_of(unsigned i, char path[32])
{
	snprintf(path, 32, "/d/%c%u", 'a' + (int)(i % 26), i);
}

/* Lists @path and marks what it sees. */
static unsigned list(struct vfs_file d, uint8_t *seen, unsigned max)
{
	struct fs_entry e;
	unsigned n = 0;

	while (n < max && vfs_readdir(d, &e) == 1) {
		unsigned i = 0;

		assert_int_equal(sscanf(e.name.text + 1, "%u", &i), 1);
		seen[i]++;
		n++;
	}
	return n;
}

static void large_directories_are_listed_once(void **state)
{
	enum { N = 2000 };
	static uint8_t seen[2 * N];
	struct vfs_file d;
	char path[32];

	(void)state;
	assert_int_equal(vfs_mkdir("/d"), 0);
	for (unsigned i = 0; i < N; i++) {
		name_of(i, path);
		make(path, "");
	}
	assert_int_equal(stat_of("/d").size, N);
	d = open_file("/d", VFS_DIRECTORY);
	/* half-way others go and come */
	memset(seen, 0, sizeof(seen));
	assert_int_equal(list(d, seen, N / 2), N / 2);
	for (unsigned i = 0; i < N; i += 2) {
		name_of(i, path);
		assert_int_equal(vfs_unlink(path), 0);
		name_of(N + i, path);
		make(path, "");
	}
	restart();
	list(d, seen, 2 * N);
	for (unsigned i = 1; i < N; i += 2)
		assert_int_equal(seen[i], 1);
	for (unsigned i = 0; i < 2 * N; i += 2)
		assert_true(seen[i] <= 1);
	assert_int_equal(vfs_close(d), 0);
	for (unsigned i = 0; i < 2 * N; i++) {
		name_of(i, path);
		assert_int_equal(is_there(path), i < N ? i % 2 : i % 2 == 0);
		if (is_there(path))
			assert_int_equal(vfs_unlink(path), 0);
	}
	assert_int_equal(vfs_rmdir("/d"), 0);
}

/* Names of one hash, where hashes collide, of which there is always one: numbers are used again. */
static void names_come_and_go_for_ever(void **state)
{
	enum { TURNS = 66000 }; /* more than a key has numbers */
	struct vfs_file d;
	struct fs_entry e;

	(void)state;
	make("/a", "");
	make("/e", "");
	for (unsigned i = 0; i < TURNS; i++) {
		const char *path = i % 2 ? "/i" : "/a";

		make(i % 2 ? "/a" : "/i", "");
		assert_int_equal(vfs_unlink(path), 0);
	}
	make("/m", "");
	d = open_file("/", VFS_DIRECTORY);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vfs_readdir(d, &e), 1);
	assert_int_equal(vfs_readdir(d, &e), 0);
	assert_int_equal(vfs_close(d), 0);
	assert_int_equal(vfs_unlink("/a"), 0);
	assert_int_equal(vfs_unlink("/e"), 0);
	assert_int_equal(vfs_unlink("/m"), 0);
}

/* ---- no memory ---- */

static int try_open(void)
{
	OWNED(vfs_close_drop) struct vfs_file f = {{0}};

	return vfs_open("/d/new", VFS_WRITE | VFS_CREATE, CLIENT, &f);
}

static int try_mkdir(void)
{
	return vfs_mkdir("/d/new");
}

static int try_rename(void)
{
	return vfs_rename("/d/f", "/d/new");
}

static int try_write(void)
{
	OWNED(vfs_close_drop) struct vfs_file f = {{0}};
	int64_t r = vfs_open("/d/f", VFS_WRITE, CLIENT, &f);

	if (r == 0)
		r = vfs_seek(f, 70000000, VFS_FROM_START);
	if (r >= 0)
		r = vfs_write(f, "x", 1);
	return r < 0 ? (int)r : 0;
}

/* Each allocation of each operation fails once; nothing was changed, and then it works. */
static void no_memory_changes_nothing(void **state)
{
	int (*const tries[])(void) = {try_open, try_mkdir, try_rename, try_write};
	struct counts before;
	unsigned failures = 0;

	(void)state;
	for (unsigned t = 0; t < ARRAY_SIZE(tries); t++) {
		int r = -ENOMEM;

		assert_int_equal(vfs_mkdir("/d"), 0);
		make("/d/f", "contents");
		make("/d/g", "");
		make("/d/h", "");
		before = counts();
		for (long nth = 1; r == -ENOMEM; nth++) {
			fail_in = nth;
			r = tries[t]();
			if (fail_in > 0) /* none was left to fail */
				break;
			assert_int_equal(r, -ENOMEM);
			failures++;
			expect_counts(before);
			assert_false(is_there("/d/new"));
			expect_text("/d/f", "contents");
		}
		fail_in = 0;
		assert_int_equal(r, 0);
		if (is_there("/d/new") && vfs_unlink("/d/new") == -EISDIR)
			assert_int_equal(vfs_rmdir("/d/new"), 0);
		if (is_there("/d/f"))
			assert_int_equal(vfs_unlink("/d/f"), 0);
		assert_int_equal(vfs_unlink("/d/g"), 0);
		assert_int_equal(vfs_unlink("/d/h"), 0);
		assert_int_equal(vfs_rmdir("/d"), 0);
	}
	assert_true(failures >= 11);
}

/* ---- several at once ---- */

struct attacher {
	pthread_t thread;
	unsigned cpu;
	struct fs_node root;
	int result;
};
static uint32_t missing; /* atomic: attachers that have not come yet */

static void *attach(void *arg)
{
	struct attacher *me = arg;

	cpu = me->cpu;
	__atomic_sub_fetch(&missing, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&missing, __ATOMIC_ACQUIRE) > 0)
		sched_yield();
	me->result = __provide_fs_ops__memfs.root(&me->root);
	return NULL;
}

static void attach_all(struct attacher all[ATTACHERS])
{
	__atomic_store_n(&missing, ATTACHERS, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ATTACHERS; i++) {
		all[i] = (struct attacher){.cpu = i};
		assert_int_equal(pthread_create(&all[i].thread, NULL, attach, &all[i]), 0);
	}
	for (unsigned i = 0; i < ATTACHERS; i++) {
		assert_int_equal(pthread_join(all[i].thread, NULL), 0);
		assert_int_equal(all[i].result, 0);
	}
}

/* The state is lost, every other time with the root: whoever comes first, all get the same one. */
static void who_attaches_at_once_gets_one_root(void **state)
{
	enum { ROUNDS = 200 };
	struct attacher all[ATTACHERS];

	(void)state;
	alone = false;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct heap_type type = memfs_state()->types[MEMFS_NODE];
		struct fs_node root = memfs_state()->root;

		if (round % 2)
			assert_int_equal(object_destroy(type, root.h), 0);
		memset(memfs_state(), 0, sizeof(struct memfs_state));
		attach_all(all);
		if (round % 2)
			root = all[0].root;
		for (unsigned i = 0; i < ATTACHERS; i++)
			assert_true(same_handle(all[i].root.h, root.h));
		assert_int_equal(object_count(type), 1);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(files_keep_what_is_written),
		TEST(gaps_read_as_zeros),
		TEST(any_sequence_is_right),
		TEST(files_have_limits),
		TEST(appends_that_are_cut_short_keep_the_position),
		TEST(writes_over_a_block_boundary_end_where_memory_does),
		TEST(an_open_file_outlives_its_name),
		TEST(files_go_with_their_task),
		TEST(flags_are_checked),
		TEST(directories_nest),
		TEST(renames_keep_the_tree),
		TEST(large_directories_are_listed_once),
		TEST(names_come_and_go_for_ever),
		TEST(no_memory_changes_nothing),
		TEST(who_attaches_at_once_gets_one_root),
	};

	return cmocka_run_group_tests_name("vfs", tests, NULL, NULL);
}
