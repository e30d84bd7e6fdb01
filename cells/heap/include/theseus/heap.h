/* SPDX-License-Identifier: MIT */
/*
 * Heap: plain slabs for a cell's private data, typed slabs for objects that other cells
 * hold. Everything is accounted to a cell. Alignment is 16 bytes.
 * Context: tasks and interrupt handlers; masks upcalls shortly; never blocks.
 */
#ifndef THESEUS_HEAP_H
#define THESEUS_HEAP_H

#include <theseus/cell.h>

struct heap_stats {
	uint64_t bytes;   /* allocated and not freed, as asked for */
	uint64_t objects;
	uint64_t pages;   /* held by the slabs */
};

void heap_free(void *p);

/* @bytes 1..1 MiB, accounted to @owner. NULL when memory is out or @bytes out of range. */
void *heap_alloc(struct cell_ref owner, size_t bytes)
	__attribute__((malloc, malloc(heap_free, 1), alloc_size(2), warn_unused_result));

/* Cleanup helper: OWNED(heap_drop) char *buf = heap_alloc(CELL_SELF, n); */
static inline __attribute__((unused)) void heap_drop(void *pp)
{
	void *p;
	__builtin_memcpy(&p, pp, sizeof(p));
	heap_free(p);
}

/* What @cell has allocated, typed objects that it owns included; {0} = all cells. */
void heap_stats(struct cell_ref cell, struct heap_stats *ret_stats);

/* ---- typed objects ---- */

/*
 * Handle of a typed object: a value, never an address. The cell that defines the type
 * resolves it on entry and keeps no address past its return.
 */
struct handle {
	uint32_t type; /* 0 = none */
	uint32_t slot;
	uint64_t generation;
};

/* Who an object belongs to; reclaimed with either. */
struct object_owner {
	struct cell_ref cell;
	uint64_t task; /* task id; 0 = none */
};

struct heap_type {
	uint32_t id; /* 0 = none */
};

/* Registers a type by the cell that defines it. @name is copied. Result: 0, -EEXIST, -ENOMEM. */
int heap_type_create(struct cell_ref server, const char *name, size_t bytes,
		     struct heap_type *ret_type) MUST_USE;
int heap_type_destroy(struct heap_type type) MUST_USE; /* -EBUSY while objects live */

/* A zeroed object. Result: 0, -ENOMEM, -EINVAL. */
int object_create(struct heap_type type, struct object_owner owner, struct handle *ret_handle) MUST_USE;
/* The object behind @h if it lives and is of @type, else NULL. Borrowed until return. */
void *object_get(struct heap_type type, struct handle h) MUST_USE;
int object_destroy(struct heap_type type, struct handle h); /* -ESTALE */
/* Calls @each for every live object of @type; stops when it returns non-zero and returns that. */
int object_for_each(struct heap_type type,
		    int (*each)(struct handle h, void *object, struct object_owner owner, void *arg),
		    void *arg);

#endif
