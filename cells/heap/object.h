/* SPDX-License-Identifier: MIT */
/*
 * Typed objects, bottom up:
 *   chunk.c   objects of one type, in chunks that are blocks of nobody
 *   type.c    the table of types
 *   owner.c   which objects belong to which task, and the ledger
 *   object.c  the exports
 *
 * A slot's number is its chunk's and its index in it; chunks come and go, and generations
 * come from one counter for all, so a handle whose slot was used again, or whose chunk is
 * another one by now, does not match.
 */
#ifndef HEAP_OBJECT_H
#define HEAP_OBJECT_H

#include "internal.h"

/* Memory of the heap itself. */
#define NOBODY ((struct cell_ref){OWNER_NOBODY})

struct object {
	uint64_t generation; /* 0 = free */
	uint64_t task;
	struct object *prev, *next; /* of the same task: owner.c */
	uint32_t type, cell;
	uint32_t slot;
	union {
		uint32_t next_free; /* free: index in the chunk */
		uint32_t ending;    /* live: the ledger has it, no handle finds it any more */
	};
	uint8_t bytes[] __attribute__((aligned(16)));
};
_Static_assert(sizeof(struct object) == 48, "objects are aligned to 16");

struct chunk {
	struct chunk *prev, *next; /* chunks with something free */
	uint32_t index;            /* in the directory */
	uint32_t n_live;
	uint32_t n_touched; /* objects from here on were never used */
	uint32_t first_free;
	uint8_t objects[] __attribute__((aligned(16)));
};

#define NO_SLOT UINT32_MAX

/* A place in the directory: a chunk, or the number of the next unused place. */
union place {
	struct chunk *chunk;
	uint64_t next; /* odd: number << 1 | 1 */
};

SPINLOCK_ROLE(heap_type_lock);

struct type {
	struct spinlock lock; /* heap_type_lock */
	uint32_t id; /* generation << 8 | index in the table; 0 = unused */
	uint32_t generation;
	struct cell_ref server;
	char name[CELL_NAME_MAX];
	struct object_ops_h ops;
	uint32_t bytes, stride;
	uint32_t chunk_log; /* log2 of the objects in a chunk */
	uint32_t n_places GUARDED_BY(heap_type_lock), places_max GUARDED_BY(heap_type_lock);
	uint32_t first_place GUARDED_BY(heap_type_lock); /* unused one, or NO_SLOT */
	uint64_t n_live GUARDED_BY(heap_type_lock);
	union place *places GUARDED_BY(heap_type_lock);
	struct chunk *partial GUARDED_BY(heap_type_lock);
	struct chunk *empty GUARDED_BY(heap_type_lock); /* at most one is kept; it is in partial too */
};

/* ---- type.c ---- */

/* The record behind @id, locked; NULL if there is none. */
struct type *type_lock(uint32_t id) TRY_ACQUIRES(true, heap_type_lock);
void type_unlock(struct type *t) RELEASES(heap_type_lock);
/* Frees the chunks that types keep though nothing lives in them. */
void types_trim(void);

/* ---- chunk.c ---- */

/* log2 of the objects of a chunk. */
uint32_t chunk_log_of(uint32_t stride);

/* Memory for one more chunk, got while the type is not locked. */
struct supply {
	struct chunk *chunk;
	union place *places; /* a larger directory, if the one there is full */
	uint32_t places_max;
};

void supply_drop(struct supply *s);
/*
 * The type behind @id, locked, with a free object. Result: 0; -EINVAL (no such type),
 * -ENOMEM: not locked.
 */
int type_lock_with_room(uint32_t id, struct supply *s, struct type **ret_type) MUST_USE
	TRY_ACQUIRES(0, heap_type_lock);

/* The rest is called with the type locked. */

/* Takes a free object, which there is; its slot is set. */
struct object *object_take(struct type *t) REQUIRES(heap_type_lock);
/* Result: a chunk to free once the type is unlocked, or NULL. */
struct chunk *object_give(struct type *t, struct object *o) MUST_USE REQUIRES(heap_type_lock);
/* The chunk that is kept though nothing lives in it, to be freed as that; or NULL. */
struct chunk *chunk_take_empty(struct type *t) MUST_USE REQUIRES(heap_type_lock);
/* The object in @slot, or NULL. One that ends is found too. */
struct object *object_in_slot(const struct type *t, uint32_t slot) REQUIRES(heap_type_lock);

/* ---- owner.c ---- */

#define TASK_LISTS 4096u
#define TASK_LOCKS 16u

/* Objects by the task that owns them; a list is shared by tasks with equal low bits. */
struct owners {
	struct spinlock locks[TASK_LOCKS];
	struct object *heads[TASK_LISTS];
};

/* With the type locked; nothing if the object belongs to no task. */
void owner_link(struct object *o) REQUIRES(heap_type_lock);
void owner_unlink(struct object *o) REQUIRES(heap_type_lock);

/* ---- object.c ---- */

/* An object that is on its way out: of no task, behind no handle. */
struct ending {
	struct handle handle; /* of type 0: none */
	struct object *object;
	struct object_ops_h ops;
};

/* Result: false when @h is stale or is not @task's any more. */
bool object_end(struct handle h, uint64_t task, struct ending *ret_ending);
/* Frees it. Accepts none. Usable with OWNED(). */
void ending_free(struct ending *ending);

#endif
