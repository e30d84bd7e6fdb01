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
	uint64_t bytes; /* allocated and not freed, as asked for */
	uint64_t objects;
	uint64_t pages; /* held for all cells together; 0 for a single one */
};

/*
 * Accepts NULL. A block that is not live or whose surroundings were overwritten is a fault of
 * the caller's task (theseus/trap.h), as far as the build checks it: -Dheap=partial finds a
 * second free and an overwritten header, safe also writes to the eight bytes past the end, and
 * writes after the free to the second or third word.
 */
void heap_free(void *p);

#ifdef __clang__
#define HEAP_ALLOCATES __attribute__((malloc, alloc_size(2), warn_unused_result))
#else
#define HEAP_ALLOCATES                                                                             \
	__attribute__((malloc, malloc(heap_free, 1), alloc_size(2), warn_unused_result))
#endif

#define HEAP_BLOCK_MAX (64u << 20) /* bytes */

/*
 * @bytes 1..HEAP_BLOCK_MAX, accounted to @owner ({0}: to nobody, in no statistics). NULL when
 * memory is out or @bytes out of range.
 *
 * A block belongs to its cell, not to a task: one that only a task knew which the ledger ended
 * (task_exit.by_ledger) stays allocated. A task's name in each block would cost 8 bytes, which
 * the alignment makes 16, and a list in each hot path; so it is shown instead, by `exec free`: how
 * many tasks ended so, and what each cell holds. What must go with its task is an object.
 */
void *heap_alloc(struct cell_ref owner, size_t bytes) HEAP_ALLOCATES;

/* Cleanup helper: OWNED(heap_drop) char *buf = heap_alloc(CELL_SELF, n); */
static inline __attribute__((unused)) void heap_drop(void *pp)
{
	void *p;
	__builtin_memcpy(&p, pp, sizeof(p));
	heap_free(p);
}

/* What @cell has allocated, typed objects that it owns included; {0} = all cells. */
void heap_stats(struct cell_ref cell, struct heap_stats *ret_stats);

/*
 * Gives back what is kept for speed on all CPUs, and empty memory. For who wants to know what
 * is really in use. Costs a round to all CPUs.
 */
void heap_trim(void);

/*
 * For tests of what happens when memory runs out: the @nth allocation from now on that the
 * calling task makes fails, once, be it a block, a typed object, address space, frames or a
 * mapping, its own or one that is made on its behalf; 0 = none. One task at a time: a second one
 * takes over. While it is armed the heap is slow. Result: whether the failure that was armed before
 * has happened.
 */
bool heap_fail_nth(uint64_t nth);

/* ---- typed objects ---- */

#define HEAP_OBJECT_MAX 16384u /* bytes */

/*
 * Handle of a typed object: a value, never an address. The cell that defines the type
 * resolves it on entry and keeps no address past its return.
 */
struct handle {
	uint32_t type; /* 0 = none */
	uint32_t slot;
	uint64_t generation;
	OWNERSHIP_TOKEN
};

/* Who an object belongs to; reclaimed with either. */
struct object_owner {
	struct cell_ref cell;
	uint64_t task; /* task id; 0 = none */
};

struct heap_type {
	uint32_t id; /* 0 = none */
};

/*
 * What a type does when the ledger ends its objects: drop() runs once for each object of a
 * task that ended, with no lock held. The object is behind no handle any more (object_get()
 * and object_destroy() refuse @h), and its memory is freed when drop() returns, also by a
 * fault. It may destroy other objects. Whoever destroys an object himself does himself what
 * drop() does.
 */
struct object_ops {
	void (*drop)(struct handle h, void *object);
};
IFACE_DEFINE(object_ops);
#define OBJECT_NO_OPS ((struct object_ops_h){{0, 0}})

/*
 * Registers a type by the cell that defines it. @name (1..CELL_NAME_MAX - 1 bytes) is copied.
 * Objects have @bytes bytes, 1..HEAP_OBJECT_MAX. @ops may be OBJECT_NO_OPS.
 * Result: 0; -EEXIST (@server has a type of this name); -EINVAL; -ENOMEM.
 */
int heap_type_create(struct cell_ref server, const char *name, size_t bytes,
		     struct object_ops_h ops, struct heap_type *ret_type) MUST_USE;
/*
 * The type that @server created under @name, for a server that comes back with fresh state:
 * types and objects outlive it. Result: 0, -ENOENT.
 */
int heap_type_find(struct cell_ref server, const char *name, struct heap_type *ret_type) MUST_USE;
int heap_type_destroy(struct heap_type type) MUST_USE; /* -EBUSY while objects live, -ESTALE */

/* Live objects of @type, those included that the ledger is ending; 0 for a stale type. */
uint64_t object_count(struct heap_type type);

/*
 * A zeroed object, accounted to owner.cell. With owner.task it goes when that task ends (a
 * task that has ended already takes nothing with it). Result: 0, -ENOMEM, -EINVAL (type, owner).
 */
int object_create(struct heap_type type, struct object_owner owner,
		  struct handle *ret_handle) MUST_USE;
/* The object behind @h if it lives and is of @type, else NULL. Borrowed until return. */
void *object_get(struct heap_type type, struct handle h) MUST_USE;
int object_destroy(struct heap_type type, struct handle h); /* 0, -ESTALE */
/*
 * The same in two steps, for who looks at objects under a spinlock of its own, under which no
 * memory shall be unmapped. From object_retire() on no handle finds the object; who found it
 * before, under the lock that the caller holds, is through when that is released; then
 * object_release() frees it. What ends in between is lost: in LEDGER_WHOLE(). Result: 0, -ESTALE.
 */
int object_retire(struct heap_type type, struct handle h, void **ret_object) MUST_USE;
void object_release(void *object); /* accepts NULL */
/* The object belongs to @owner from now on. Result: 0, -ESTALE, -EINVAL (owner), -ENOMEM. */
int object_set_owner(struct heap_type type, struct handle h, struct object_owner owner) MUST_USE;
/*
 * Calls @each for every live object of @type; stops when it returns non-zero and returns that.
 * @each may create objects (they may or may not be visited) and destroy any. The caller sees
 * to it that nobody else destroys the one that is being looked at.
 */
int object_for_each(struct heap_type type,
		    int (*each)(struct handle h, void *object, struct object_owner owner,
				void *arg),
		    void *arg);

#endif
