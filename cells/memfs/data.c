/* SPDX-License-Identifier: MIT */
/*
 * Contents of files. Up to BLOCK_BYTES at a time go through the stack, between the client's
 * memory and the locked file: one step for whoever looks on, and no fault under the lock.
 * Bytes of a block behind the file's end are zero.
 */
#include "internal.h"

#include <string.h>

#define TRIM_A_STEP 64u

struct spinlock *memfs_data_lock(struct handle h)
{
	return &memfs_state()->data[h.slot % DATA_LOCKS];
}

/* The file behind @h, whose data lock is held. Result: 0, -ESTALE, -EISDIR. */
static int file_get(struct handle h, struct memfs_node **ret_file) REQUIRES(memfs_data)
{
	struct memfs_node *n = node_get(h);

	if (!n || n->dead)
		return -ESTALE;
	if (n->kind != FS_FILE)
		return -EISDIR;
	*ret_file = n;
	return 0;
}

static size_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t blocks_of(uint64_t size)
{
	return (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* ---- read ---- */

static void copy_out(const struct memfs_node *file, uint64_t pos, uint8_t *to, size_t n)
	REQUIRES(memfs_data)
{
	while (n > 0) {
		uint64_t at = pos % BLOCK_BYTES;
		size_t some = smaller(n, BLOCK_BYTES - at);
		const uint8_t *block = map_find(file, pos / BLOCK_BYTES);

		if (block)
			memcpy(to, block + at, some);
		else
			memset(to, 0, some);
		pos += some;
		to += some;
		n -= some;
	}
}

static int64_t read_step(struct handle h, uint64_t pos, uint8_t to[BLOCK_BYTES], size_t n)
{
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *file;
	int64_t r;

	spin_lock_as(lock, memfs_data);
	r = file_get(h, &file);
	if (r == 0 && pos < file->size) {
		n = smaller(n, file->size - pos);
		copy_out(file, pos, to, n);
		r = (int64_t)n;
	}
	spin_unlock_as(lock, memfs_data);
	return r;
}

int64_t memfs_read(struct fs_node node, uint64_t pos, void *buf, size_t n)
{
	uint8_t step[BLOCK_BYTES];
	size_t done = 0;
	int64_t r = memfs_attach();

	while (r >= 0 && done < n) {
		r = read_step(node.h, pos + done, step, smaller(n - done, sizeof(step)));
		if (r <= 0)
			break;
		memcpy((uint8_t *)buf + done, step, (size_t)r);
		done += (size_t)r;
	}
	return done ? (int64_t)done : r;
}

/* ---- write ---- */

/* Result: bytes, fewer than @n when no block is to be had; -errno instead of 0. */
static int64_t copy_in(struct memfs_node *file, uint64_t pos, const uint8_t *from, size_t n)
	REQUIRES(memfs_data)
{
	size_t done = 0;

	while (done < n) {
		uint64_t at = (pos + done) % BLOCK_BYTES;
		size_t some = smaller(n - done, BLOCK_BYTES - at);
		uint8_t *block;
		int r = map_make(file, (pos + done) / BLOCK_BYTES, &block);

		if (r < 0)
			return done ? (int64_t)done : r;
		memcpy(block + at, from + done, some);
		done += some;
	}
	return (int64_t)done;
}

static int64_t write_step(struct handle h, uint64_t *pos, const uint8_t from[BLOCK_BYTES], size_t n)
{
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *file;
	uint64_t at;
	int64_t r;

	spin_lock_as(lock, memfs_data);
	r = file_get(h, &file);
	if (r == 0) {
		at = *pos == FS_APPEND ? file->size : *pos;
		r = at < FILE_BYTES_MAX ? copy_in(file, at, from, smaller(n, FILE_BYTES_MAX - at))
					: -EFBIG;
		if (r > 0) {
			*pos = at + (uint64_t)r;
			if (*pos > file->size)
				file->size = *pos;
		}
	}
	spin_unlock_as(lock, memfs_data);
	return r;
}

int64_t memfs_write(struct fs_node node, uint64_t *pos, const void *buf, size_t n)
{
	bool append = *pos == FS_APPEND;
	uint8_t step[BLOCK_BYTES];
	size_t done = 0;
	int64_t r = memfs_attach();

	while (r >= 0 && done < n) {
		size_t some = smaller(n - done, sizeof(step));
		uint64_t at = append ? FS_APPEND : *pos;

		memcpy(step, (const uint8_t *)buf + done, some);
		r = write_step(node.h, &at, step, some);
		if (r <= 0)
			break;
		*pos = at;
		done += (size_t)r;
	}
	return done ? (int64_t)done : r;
}

/* ---- truncate ---- */

/*
 * Shortens the file to @size, or by TRIM_A_STEP blocks on the way there; what is longer than
 * that is cut in several steps, each of which leaves a file.
 */
static bool cut(struct memfs_node *file, uint64_t size) REQUIRES(memfs_data)
{
	uint64_t keep = blocks_of(size), freed = 0;
	uint8_t *last;

	for (unsigned i = 0; i < TRIM_A_STEP; i++) {
		uint64_t n = map_trim(file, keep);

		if (n == 0) {
			last = size % BLOCK_BYTES ? map_find(file, size / BLOCK_BYTES) : NULL;
			if (last)
				memset(last + size % BLOCK_BYTES, 0,
				       BLOCK_BYTES - size % BLOCK_BYTES);
			file->size = size;
			return true;
		}
		freed = n - 1;
	}
	file->size = smaller(file->size, freed * BLOCK_BYTES);
	return false;
}

int memfs_truncate(struct fs_node node, uint64_t size)
{
	struct spinlock *lock = memfs_data_lock(node.h);
	struct memfs_node *file;
	bool done = false;
	int r = memfs_attach();

	if (size > FILE_BYTES_MAX)
		return -EFBIG;
	while (r == 0 && !done) {
		spin_lock_as(lock, memfs_data);
		r = file_get(node.h, &file);
		if (r == 0 && size >= file->size) {
			file->size = size;
			done = true;
		} else if (r == 0) {
			done = cut(file, size);
		}
		spin_unlock_as(lock, memfs_data);
	}
	return r;
}

/* ---- the end of a node ---- */

static bool reap_blocks(struct handle h)
{
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *n;
	bool more;

	spin_lock_as(lock, memfs_data);
	n = node_get(h);
	more = n && n->dead && n->kind == FS_FILE;
	for (unsigned i = 0; i < TRIM_A_STEP && more; i++)
		more = map_trim(n, 0) != 0;
	spin_unlock_as(lock, memfs_data);
	return more;
}

void memfs_reap(struct fs_node node)
{
	struct spinlock *lock = memfs_data_lock(node.h);
	const struct memfs_node *n;

	while (reap_blocks(node.h))
		;
	spin_lock_as(&memfs_state()->names, memfs_names);
	spin_lock_as(lock, memfs_data);
	n = node_get(node.h);
	if (n && n->dead)
		(void)object_destroy(memfs_state()->types.node, node.h);
	spin_unlock_as(lock, memfs_data);
	spin_unlock_as(&memfs_state()->names, memfs_names);
}
