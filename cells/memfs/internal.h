/* SPDX-License-Identifier: MIT */
/*
 * memfs: everything that it stores is a typed object, and objects name one another by handle,
 * so that it can lose its state and find the tree again.
 *
 *   node    a file or directory; one, marked, is the root
 *   entry   a name in a directory, with the handle of its node
 *   index   64 handles: inner node of a directory's trie and of a file's block map
 *   block   BLOCK_BYTES of a file
 *
 * Two kinds of lock. `names` guards directories, entries, and which nodes are linked or open.
 * A node's data lock (one of DATA_LOCKS) guards its size and blocks. An object is freed only
 * under the lock under which it is reached; a node under both. Order: names, then data.
 * They are spinlocks, so nobody is killed or preempted with one; and nothing of a client's
 * memory is touched under one, so nobody faults.
 */
#ifndef MEMFS_INTERNAL_H
#define MEMFS_INTERNAL_H

#include <theseus/fs.h>
#include <theseus/spinlock.h>

#define DATA_LOCKS 64u
#define INDEX_BITS 6u
#define INDEX_SLOTS (1u << INDEX_BITS)
#define BLOCK_BYTES 1024u
#define MAP_LEVELS_MAX 3u
#define FILE_BYTES_MAX ((uint64_t)BLOCK_BYTES << (INDEX_BITS * MAP_LEVELS_MAX))

SPINLOCK_ROLE(memfs_names);
SPINLOCK_ROLE(memfs_data);

struct memfs_node {
	enum fs_kind kind;
	bool is_root;
	bool linked GUARDED_BY(memfs_names); /* some entry names it, or it is the root */
	bool dead; /* not linked and not open: on its way out; set under both locks */
	uint32_t opens GUARDED_BY(memfs_names);
	uint32_t n_entries GUARDED_BY(memfs_names);
	struct handle parent GUARDED_BY(memfs_names); /* of a linked directory */
	/* of a directory under names, of a file under its data lock */
	struct handle top; /* entry or index; block or index */
	uint32_t levels;   /* of indexes, in a file's map */
	uint32_t n_blocks;
	uint64_t size;
};

struct memfs_index {
	uint32_t used; /* slots that are not empty; never 0 where it is linked */
	struct handle slots[INDEX_SLOTS];
};

struct memfs_entry {
	uint64_t key; /* hash << KEY_SUB_BITS | a number among names of one hash */
	struct handle node;
	struct handle next; /* another name of the same hash */
	enum fs_kind kind;
	struct fs_name name;
};

struct memfs_types {
	struct heap_type node, entry, index, block;
};

struct memfs_state {
	struct spinlock names; /* memfs_names */
	uint32_t ready; /* atomic: what follows is set */
	struct memfs_types types;
	struct fs_node root;
	uint64_t bytes_max; /* that memfs may have allocated */
	struct spinlock data[DATA_LOCKS]; /* memfs_data */
};

/* ---- memfs.c ---- */

struct memfs_state *memfs_state(void);

/* Finds or makes types and root, if this is not done. Result: 0, -ENOMEM. */
int memfs_attach(void) MUST_USE;

/* A zeroed object of memfs's own. Result: 0, -ENOMEM, -ENOSPC (bytes_max is reached). */
int memfs_create(struct heap_type type, struct handle *ret_handle, void *ret_object) MUST_USE;

/* The same handle: both none, or one object. */
static inline bool same_handle(struct handle a, struct handle b)
{
	return a.type == b.type && a.slot == b.slot && a.generation == b.generation;
}

static inline struct memfs_node *node_get(struct handle h)
{
	return object_get(memfs_state()->types.node, h);
}

/* ---- dir.c: the trie of a directory; names is held ---- */

#define DIR_HASH_BITS 48u
uint64_t dir_hash(const struct fs_name *name);
struct memfs_entry *dir_find(const struct memfs_node *dir, const struct fs_name *name)
	REQUIRES(memfs_names);
/* @name is not there. Result: 0, -ENOMEM, -ENOSPC. */
int dir_insert(struct memfs_node *dir, const struct fs_name *name, struct handle node,
	       enum fs_kind kind) MUST_USE REQUIRES(memfs_names);
/* @name is there. */
void dir_remove(struct memfs_node *dir, const struct fs_name *name) REQUIRES(memfs_names);
/* The entry with the smallest key that is at least @key; NULL = none. */
struct memfs_entry *dir_next(const struct memfs_node *dir, uint64_t key) REQUIRES(memfs_names);

/* ---- map.c: the blocks of a file; its data lock is held ---- */

/* Block @n, or NULL where the file has a gap. */
uint8_t *map_find(const struct memfs_node *file, uint64_t n) MUST_USE REQUIRES(memfs_data);
/* The same, made where there is none. @n < FILE_BYTES_MAX / BLOCK_BYTES. */
int map_make(struct memfs_node *file, uint64_t n, uint8_t **ret_block) MUST_USE
	REQUIRES(memfs_data);
/* Frees the last block if its number is at least @keep. Result: its number + 1; 0 = none. */
uint64_t map_trim(struct memfs_node *file, uint64_t keep) REQUIRES(memfs_data);

/* ---- data.c: fs_ops on contents ---- */

int64_t memfs_read(struct fs_node node, uint64_t pos, void *buf, size_t n);
int64_t memfs_write(struct fs_node node, uint64_t *pos, const void *buf, size_t n);
int memfs_truncate(struct fs_node node, uint64_t size);
struct spinlock *memfs_data_lock(struct handle h);
/* Frees blocks and then the object of a node that is dead. */
void memfs_reap(struct fs_node node);

/* ---- names.c: fs_ops on directories ---- */

int memfs_root(struct fs_node *ret_node);
int memfs_lookup(struct fs_node dir, const struct fs_name *name, struct fs_node *ret_node);
int memfs_create_node(struct fs_node dir, const struct fs_name *name, enum fs_kind kind,
		      struct fs_node *ret_node);
int memfs_remove(struct fs_node dir, const struct fs_name *name, enum fs_kind kind);
int memfs_rename(struct fs_node from_dir, const struct fs_name *from, struct fs_node to_dir,
		 const struct fs_name *to);
int memfs_open(struct fs_node node);
int memfs_close(struct fs_node node);
int memfs_readdir(struct fs_node dir, uint64_t *cookie, struct fs_entry *ret_entry);
int memfs_stat(struct fs_node node, struct fs_stat *ret_stat);

#endif
