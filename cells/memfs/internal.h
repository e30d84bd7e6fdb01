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
 * A node's data lock (one of DATA_LOCKS) guards its size and blocks. Order: names, then data.
 * They are spinlocks, so nobody is killed or preempted with one; and nothing of a client's
 * memory is touched under one, so nobody faults.
 *
 * Nothing is allocated or freed under one either, since that may map memory. What an operation
 * takes it has got before; if that turns out to be too little, it has changed nothing, says -EAGAIN
 * and what is wanted, and is tried again with more. What it takes out of the tree, under the lock
 * under which that is reached, it frees afterwards. A node is reached by handle, too: it is
 * retired under both locks.
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

enum memfs_kind {
	MEMFS_NODE,
	MEMFS_ENTRY,
	MEMFS_INDEX,
	MEMFS_BLOCK,
	MEMFS_KINDS,
};

struct memfs_state {
	struct spinlock names; /* memfs_names */
	uint32_t ready; /* atomic: what follows is set */
	struct heap_type types[MEMFS_KINDS];
	struct fs_node root;
	uint64_t bytes_max; /* that memfs may have allocated */
	struct spinlock data[DATA_LOCKS]; /* memfs_data */
};

/* ---- memfs.c ---- */

struct memfs_state *memfs_state(void);

static inline struct heap_type memfs_type(enum memfs_kind kind)
{
	return memfs_state()->types[kind];
}

/* The same handle: both none, or one object. */
static inline bool same_handle(struct handle a, struct handle b)
{
	return a.type == b.type && a.slot == b.slot && a.generation == b.generation;
}

static inline struct memfs_node *node_get(struct handle h)
{
	return object_get(memfs_type(MEMFS_NODE), h);
}

/* ---- attach.c ---- */

/* Finds or makes types and root, if this is not done. Result: 0, -ENOMEM. */
int memfs_attach(void) MUST_USE;

/* ---- objects.c: those that are in no tree, or not any more ---- */

#define DIR_HASH_BITS 48u
#define DIR_LEVELS (DIR_HASH_BITS / INDEX_BITS)
#define MEMFS_OBJECTS_MAX 16u
_Static_assert(MEMFS_OBJECTS_MAX >= 2 + DIR_LEVELS, "a node, its entry, and all indexes above it");
_Static_assert(MEMFS_OBJECTS_MAX >= 2 * MAP_LEVELS_MAX, "a block, and a map raised to its height");

struct memfs_objects {
	uint32_t n;
	struct handle *handles; /* room for MEMFS_OBJECTS_MAX, borrowed */
};

/* There is room. */
void objects_add(struct memfs_objects *o, struct handle h);
/* Frees them; no lock is held. Usable with OWNED(). */
void objects_drop(struct memfs_objects *o);
/* Frees a node of @type, of which nobody knows the handle. */
void node_drop(struct heap_type type, struct handle h);

static inline uint32_t objects_room(const struct memfs_objects *o)
{
	return MEMFS_OBJECTS_MAX - o->n;
}

/* Zeroed objects of memfs's own, for an operation to take from under a lock. */
struct memfs_supply {
	bool lacks; /* something that is wanted */
	uint8_t wanted[MEMFS_KINDS]; /* and not taken yet */
	struct memfs_objects have;
};

/* Adds what it lacks; no lock is held. Result: 0; -ENOMEM, -ENOSPC (bytes_max is reached). */
int supply_fill(struct memfs_supply *s) MUST_USE;
/* Are there @n of the kind? If not, they are wanted. */
bool supply_has(struct memfs_supply *s, enum memfs_kind kind, uint32_t n) MUST_USE;
/* There is one. */
void *supply_take(struct memfs_supply *s, enum memfs_kind kind, struct handle *ret_handle);

/* Cleanup helper: frees what was not taken. */
static inline void supply_drop(struct memfs_supply *s)
{
	objects_drop(&s->have);
}

/* ---- dir.c: the trie of a directory; names is held ---- */

uint64_t dir_hash(const struct fs_name *name);

/* A name, borrowed, whose hash was computed while nobody waits. */
struct dir_name {
	const struct fs_name *name;
	uint64_t hash;
};

static inline struct dir_name dir_name(const struct fs_name *name)
{
	return (struct dir_name){name, dir_hash(name)};
}

struct memfs_entry *dir_find(const struct memfs_node *dir, struct dir_name name)
	REQUIRES(memfs_names);
/* @name is not there. Result: 0, -EAGAIN (@supply lacks something), -ENOSPC. */
int dir_insert(struct memfs_node *dir, struct dir_name name, struct handle node, enum fs_kind kind,
	       struct memfs_supply *supply) MUST_USE REQUIRES(memfs_names);
/* @name is there. Adds to @gone, which is empty. */
void dir_remove(struct memfs_node *dir, struct dir_name name, struct memfs_objects *gone)
	REQUIRES(memfs_names);
/* The entry with the smallest key that is at least @key; NULL = none. */
struct memfs_entry *dir_next(const struct memfs_node *dir, uint64_t key) REQUIRES(memfs_names);

/* ---- map.c: the blocks of a file; its data lock is held ---- */

/* Block @n, or NULL where the file has a gap. */
uint8_t *map_find(const struct memfs_node *file, uint64_t n) MUST_USE REQUIRES(memfs_data);
/*
 * The same, made where there is none. @n < FILE_BYTES_MAX / BLOCK_BYTES. Result: 0, -EAGAIN
 * (@supply lacks something).
 */
int map_make(struct memfs_node *file, uint64_t n, struct memfs_supply *supply,
	     uint8_t **ret_block) MUST_USE REQUIRES(memfs_data);
#define MAP_TRIM_MAX (MAP_LEVELS_MAX + 1) /* objects */
/*
 * Takes out the last block if its number is at least @keep, adding to @gone, where there is room
 * for MAP_TRIM_MAX. Result: its number + 1; 0 = none.
 */
uint64_t map_trim(struct memfs_node *file, uint64_t keep, struct memfs_objects *gone)
	REQUIRES(memfs_data);

/* ---- data.c: fs_ops on contents ---- */

int64_t memfs_read(struct fs_node node, uint64_t pos, void *buf, size_t n);
int64_t memfs_write(struct fs_node node, uint64_t *pos, const void *buf, size_t n);
int memfs_truncate(struct fs_node node, uint64_t size);
struct spinlock *memfs_data_lock(struct handle h);
/* Frees blocks and then the object of a node that is dead. */
void memfs_reap(struct handle h);

/* ---- names.c: fs_ops on directories ---- */

int memfs_root(struct fs_node *ret_node);
int memfs_lookup(struct fs_node dir, const struct fs_name *name, struct fs_node *ret_node);
int memfs_create_node(struct fs_node dir, const struct fs_name *name, enum fs_kind kind,
		      struct fs_node *ret_node);
int memfs_remove(struct fs_node dir, const struct fs_name *name, enum fs_kind kind);
int memfs_rename(struct fs_node from_dir, const struct fs_name *from, struct fs_node to_dir,
		 const struct fs_name *to);
int memfs_open(struct fs_node node, enum fs_kind kind);
void memfs_close(struct fs_node node);
int memfs_readdir(struct fs_node dir, uint64_t *cookie, struct fs_entry *ret_entry);
int memfs_stat(struct fs_node node, struct fs_stat *ret_stat);

#endif
