/* SPDX-License-Identifier: MIT */
/*
 * Contents of files. Some at a time go through the stack, between the client's memory and the
 * locked file: one step for whoever looks on, and no fault under the lock. Those of a write are
 * shorter: LEDGER_WHOLE() vouches for STACK_ROOM_WHOLE bytes of stack only.
 * Bytes of a block behind the file's end are zero.
 */
#include "internal.h"

#include <string.h>

#define READ_BYTES (2 * BLOCK_BYTES)

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

static int64_t read_step(struct handle h, uint64_t pos, uint8_t to[READ_BYTES], size_t n)
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
	uint8_t step[READ_BYTES];
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

/*
 * Up to BLOCK_BYTES at @at: all of them, or those for which there are blocks if no more are to be
 * had (@out). Result: bytes; -EAGAIN: @supply lacks something.
 */
static int64_t copy_in(struct memfs_node *file, uint64_t at, const uint8_t *from, size_t n,
		       bool out, struct memfs_supply *supply) REQUIRES(memfs_data)
{
	size_t first = smaller(n, BLOCK_BYTES - at % BLOCK_BYTES);
	uint8_t *block = NULL, *next = NULL;
	int r = map_make(file, at / BLOCK_BYTES, supply, &block);

	if (r == 0 && first < n)
		r = map_make(file, at / BLOCK_BYTES + 1, supply, &next);
	if (r < 0 && !(block && out))
		return r;
	memcpy(block + at % BLOCK_BYTES, from, first);
	if (!next)
		return (int64_t)first;
	memcpy(next, from + first, n - first);
	return (int64_t)n;
}

/* In one step. With @out set, what there is no memory for is left out. */
static int64_t write_locked(struct memfs_node *file, uint64_t *pos, const uint8_t *from, size_t n,
			    bool out, struct memfs_supply *supply) REQUIRES(memfs_data)
{
	uint64_t at = *pos == FS_APPEND ? file->size : *pos;
	int64_t r;

	if (at >= FILE_BYTES_MAX)
		return -EFBIG;
	r = copy_in(file, at, from, smaller(n, FILE_BYTES_MAX - at), out, supply);
	if (r < 0)
		return r;
	*pos = at + (uint64_t)r;
	if (*pos > file->size)
		file->size = *pos;
	return r;
}

/* *@pos changes if something was written. */
static int64_t write_step(struct handle h, uint64_t *pos, const uint8_t from[BLOCK_BYTES], size_t n)
{
	struct handle room[MEMFS_OBJECTS_MAX];
	OWNED(supply_drop) struct memfs_supply supply = {.have = {.handles = room}};
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *file;
	int filled;
	int64_t r;

	do {
		filled = supply_fill(&supply);
		spin_lock_as(lock, memfs_data);
		r = file_get(h, &file);
		if (r == 0)
			r = write_locked(file, pos, from, n, filled < 0, &supply);
		spin_unlock_as(lock, memfs_data);
	} while (r == -EAGAIN && filled == 0);
	return r == -EAGAIN ? filled : r;
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

/* The bytes of the last block that are behind the file's end. */
static void clear_tail(struct memfs_node *file) REQUIRES(memfs_data)
{
	size_t used = file->size % BLOCK_BYTES;
	uint8_t *last = used ? map_find(file, file->size / BLOCK_BYTES) : NULL;

	if (last)
		memset(last + used, 0, BLOCK_BYTES - used);
}

/*
 * Shortens the file to @size, or by what @gone has room for on the way there; what is longer than
 * that is cut in several steps, each of which leaves a file.
 */
static bool cut(struct memfs_node *file, uint64_t size, struct memfs_objects *gone)
	REQUIRES(memfs_data)
{
	uint64_t keep = blocks_of(size), freed = 0;

	while (objects_room(gone) >= MAP_TRIM_MAX) {
		uint64_t n = map_trim(file, keep, gone);

		if (n == 0) {
			file->size = size;
			clear_tail(file);
			return true;
		}
		freed = n - 1;
	}
	file->size = smaller(file->size, freed * BLOCK_BYTES);
	return false;
}

/* Result: 1: done; 0: not yet. */
static int truncate_step(struct handle h, uint64_t size)
{
	struct handle room[MEMFS_OBJECTS_MAX];
	OWNED(objects_drop) struct memfs_objects gone = {.handles = room};
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *file;
	int r;

	spin_lock_as(lock, memfs_data);
	r = file_get(h, &file);
	if (r == 0 && size >= file->size) {
		file->size = size;
		r = 1;
	} else if (r == 0) {
		r = cut(file, size, &gone);
	}
	spin_unlock_as(lock, memfs_data);
	return r;
}

int memfs_truncate(struct fs_node node, uint64_t size)
{
	int r = memfs_attach();

	if (size > FILE_BYTES_MAX)
		return -EFBIG;
	while (r == 0)
		r = truncate_step(node.h, size);
	return r < 0 ? r : 0;
}

/* ---- the end of a node ---- */

/* Result: whether there may be more. */
static bool reap_blocks(struct handle h)
{
	struct handle room[MEMFS_OBJECTS_MAX];
	OWNED(objects_drop) struct memfs_objects gone = {.handles = room};
	struct spinlock *lock = memfs_data_lock(h);
	struct memfs_node *n;
	bool more;

	spin_lock_as(lock, memfs_data);
	n = node_get(h);
	more = n && n->dead && n->kind == FS_FILE;
	while (more && objects_room(&gone) >= MAP_TRIM_MAX)
		more = map_trim(n, 0, &gone) != 0;
	spin_unlock_as(lock, memfs_data);
	return more;
}

void memfs_reap(struct handle h)
{
	struct spinlock *lock = memfs_data_lock(h);
	const struct memfs_node *n;
	void *object = NULL;

	while (reap_blocks(h))
		;
	spin_lock_as(&memfs_state()->names, memfs_names);
	spin_lock_as(lock, memfs_data);
	n = node_get(h);
	if (n && n->dead)
		(void)!object_retire(memfs_type(MEMFS_NODE), h, &object);
	spin_unlock_as(lock, memfs_data);
	spin_unlock_as(&memfs_state()->names, memfs_names);
	object_release(object);
}
