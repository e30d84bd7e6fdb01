/* SPDX-License-Identifier: MIT */
/* Files of param bytes: created, written, read, deleted; and what vfs keeps of its clients. */
#include <string.h>

#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/vfs.h>

#include "internal.h"

#define PATH "/bench"
#define BYTES_MAX 65536u
#define CLIENTS_MAX 10000u

static int make(struct vfs_file *ret_file)
{
	struct object_owner owner = {.cell = CELL_SELF};

	return vfs_open(PATH, VFS_READ | VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, owner, ret_file);
}

static int make_closed(void)
{
	struct vfs_file file;
	int r = make(&file);

	return r < 0 ? r : vfs_close(file);
}

static int create(struct bench *b)
{
	int r = 0;

	while (r == 0 && bench_more(b)) {
		uint64_t start = bench_start();

		r = make_closed();
		bench_stop(b, start);
		if (r == 0)
			r = vfs_unlink(PATH);
	}
	return r;
}
CELL_PROVIDE(bench_ops, file_create) = {.run = create, .n_params = 1, .params = {0}};

static int unlink(struct bench *b)
{
	int r = 0;

	while (r == 0 && bench_more(b)) {
		uint64_t start;

		r = make_closed();
		if (r < 0)
			break;
		start = bench_start();
		r = vfs_unlink(PATH);
		bench_stop(b, start);
	}
	return r;
}
CELL_PROVIDE(bench_ops, file_delete) = {.run = unlink, .n_params = 1, .params = {0}};

/* ---- from the start of an open file that has its size already ---- */

static int64_t move_in(struct vfs_file file, void *data, size_t n)
{
	return vfs_seek(file, 0, VFS_FROM_START) ? -EIO : vfs_write(file, data, n);
}

static int64_t move_out(struct vfs_file file, void *data, size_t n)
{
	return vfs_seek(file, 0, VFS_FROM_START) ? -EIO : vfs_read(file, data, n);
}

typedef int64_t (*move_fn)(struct vfs_file file, void *data, size_t n);

static int move_samples(struct bench *b, struct vfs_file file, void *data, move_fn move)
{
	int64_t n = (int64_t)b->param;

	while (bench_more(b)) {
		uint64_t start = bench_start();

		if (move(file, data, b->param) != n)
			return -EIO;
		bench_stop(b, start);
	}
	return 0;
}

static int transfer(struct bench *b, move_fn move)
{
	OWNED(heap_drop) char *data = NULL;
	struct vfs_file file;
	int r;

	if (b->param < 1 || b->param > BYTES_MAX)
		return -EINVAL;
	data = heap_alloc(CELL_SELF, b->param);
	if (!data)
		return -ENOMEM;
	memset(data, 1, b->param);
	r = make(&file);
	if (r < 0)
		return r;
	r = vfs_write(file, data, b->param) == (int64_t)b->param ? 0 : -ENOSPC;
	if (r == 0)
		r = move_samples(b, file, data, move);
	(void)vfs_close(file);
	(void)!vfs_unlink(PATH);
	return r;
}

static int write(struct bench *b)
{
	return transfer(b, move_in);
}
CELL_PROVIDE(bench_ops, file_write) = {.run = write, .n_params = 2, .params = {64, 4096}};

static int read(struct bench *b)
{
	return transfer(b, move_out);
}
CELL_PROVIDE(bench_ops, file_read) = {.run = read, .n_params = 2, .params = {64, 4096}};

/* ---- the state of vfs, its share of the heap included, while param files are open ---- */

struct clients {
	struct vfs_file *files; /* of the heap */
	uint32_t n;
};

static void clients_drop(struct clients *c)
{
	while (c->n > 0)
		(void)vfs_close(c->files[--c->n]);
	heap_free(c->files);
	(void)!vfs_unlink(PATH);
}

static int clients_open(struct clients *c, uint32_t n)
{
	struct object_owner owner = {.cell = CELL_SELF};
	int r = 0;

	c->files = heap_alloc(CELL_SELF, n * sizeof(*c->files));
	if (!c->files)
		return -ENOMEM;
	while (r == 0 && c->n < n) {
		r = vfs_open(PATH, VFS_READ | VFS_WRITE | VFS_CREATE, owner, &c->files[c->n]);
		c->n += r == 0;
	}
	return r;
}

static int state(struct bench *b)
{
	OWNED(clients_drop) struct clients clients = {0};
	struct loader_cell cell;
	struct heap_stats heap;
	int r;

	if (b->param < 1 || b->param > CLIENTS_MAX)
		return -EINVAL;
	r = clients_open(&clients, (uint32_t)b->param);
	if (r == 0)
		r = loader_cell_find("vfs", &cell);
	if (r < 0)
		return r;
	heap_stats(cell.ref, &heap);
	b->bytes = cell.state_bytes + heap.bytes;
	return 0;
}
CELL_PROVIDE(bench_ops,
	     vfs_state) = {.run = state, .n_params = 5, .params = {1, 10, 100, 1000, 10000}};
