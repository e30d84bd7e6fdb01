/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <string.h>
#include <theseus/frames.h>

/* What @h names, its type locked; NULL: nothing, and not locked. */
static struct object *handle_lock(struct handle h, struct type **ret_type)
	TRY_ACQUIRES(true, heap_type_lock) NO_THREAD_SAFETY
{
	struct type *t = type_lock(h.type);
	struct object *o;

	if (!t)
		return NULL;
	*ret_type = t;
	o = object_in_slot(t, h.slot);
	if (o && o->generation == h.generation && !o->ending)
		return o;
	type_unlock(t);
	return NULL;
}

static struct handle handle_of(const struct object *o)
{
	return (struct handle){o->type, o->slot, o->generation};
}

static void object_fill(struct type *t, struct object *o, struct object_owner owner)
	REQUIRES(heap_type_lock)
{
	memset(o->bytes, 0, t->stride - sizeof(*o));
	o->generation = __atomic_add_fetch(&heap_types()->generation, 1, __ATOMIC_RELAXED);
	o->type = t->id;
	o->cell = owner.cell.id;
	o->task = owner.task;
	o->ending = false;
	owner_link(o);
	t->n_live++;
}

int object_create(struct heap_type type, struct object_owner owner, struct handle *ret_handle)
{
	LEDGER_WHOLE();
	struct supply supply = {0};
	struct type *t;
	uint32_t bytes;
	int r;

	if (owner.cell.id >= OWNERS)
		return -EINVAL;
	if (frames_fails())
		return -ENOMEM;
	r = account_prepare(heap_blocks(), owner.cell.id);
	if (r < 0)
		return r;
	r = type_lock_with_room(type.id, &supply, &t);
	if (r == 0) {
		struct object *o = object_take(t);

		object_fill(t, o, owner);
		*ret_handle = handle_of(o);
		bytes = t->bytes;
		type_unlock(t);
		account_add(heap_blocks(), owner.cell.id, account_of_one(bytes));
	}
	supply_drop(&supply);
	return r;
}
CELL_EXPORT(object_create);

void *object_get(struct heap_type type, struct handle h)
{
	struct object *o;
	struct type *t;

	if (h.type != type.id)
		return NULL;
	o = handle_lock(h, &t);
	if (!o)
		return NULL;
	type_unlock(t);
	return o->bytes;
}
CELL_EXPORT(object_get);

/* Frees an object that nobody finds through its task any more, and unlocks its type. */
static void object_free(struct type *t, struct object *o) RELEASES(heap_type_lock)
{
	uint32_t cell = o->cell, bytes = t->bytes;
	struct chunk *drop;

	t->n_live--;
	drop = object_give(t, o);
	type_unlock(t);
	if (drop)
		heap_free(drop);
	account_add(heap_blocks(), cell, -account_of_one(bytes));
}

int object_destroy(struct heap_type type, struct handle h)
{
	LEDGER_WHOLE();
	struct object *o;
	struct type *t;

	if (h.type != type.id)
		return -ESTALE;
	o = handle_lock(h, &t);
	if (!o)
		return -ESTALE;
	owner_unlink(o);
	object_free(t, o);
	return 0;
}
CELL_EXPORT(object_destroy);

int object_retire(struct heap_type type, struct handle h, void **ret_object)
{
	struct object *o;
	struct type *t;

	if (h.type != type.id)
		return -ESTALE;
	o = handle_lock(h, &t);
	if (!o)
		return -ESTALE;
	owner_unlink(o);
	o->ending = true;
	type_unlock(t);
	*ret_object = o->bytes;
	return 0;
}
CELL_EXPORT(object_retire);

void object_release(void *object)
{
	LEDGER_WHOLE();
	struct object *o;
	struct type *t;

	if (!object)
		return;
	o = (struct object *)(void *)((uint8_t *)object - offsetof(struct object, bytes));
	t = type_lock(o->type); /* which is there: it has a live object */
	if (t)
		object_free(t, o);
}
CELL_EXPORT(object_release);

int object_set_owner(struct heap_type type, struct handle h, struct object_owner owner)
{
	LEDGER_WHOLE();
	struct object *o;
	struct type *t;
	uint32_t from, bytes;
	int r;

	if (owner.cell.id >= OWNERS)
		return -EINVAL;
	if (h.type != type.id)
		return -ESTALE;
	r = account_prepare(heap_blocks(), owner.cell.id);
	if (r < 0)
		return r;
	o = handle_lock(h, &t);
	if (!o)
		return -ESTALE;
	from = o->cell;
	bytes = t->bytes;
	owner_unlink(o);
	o->cell = owner.cell.id;
	o->task = owner.task;
	owner_link(o);
	type_unlock(t);
	account_add(heap_blocks(), from, -account_of_one(bytes));
	account_add(heap_blocks(), owner.cell.id, account_of_one(bytes));
	return 0;
}
CELL_EXPORT(object_set_owner);

uint64_t object_count(struct heap_type type)
{
	struct type *t = type_lock(type.id);
	uint64_t n;

	if (!t)
		return 0;
	n = t->n_live;
	type_unlock(t);
	return n;
}
CELL_EXPORT(object_count);

/* ---- on the way out ---- */

bool object_end(struct handle h, uint64_t task, struct ending *ret_ending)
{
	struct object *o;
	struct type *t;
	bool mine;

	o = handle_lock(h, &t);
	if (!o)
		return false;
	mine = o->task == task;
	if (mine) {
		owner_unlink(o);
		o->ending = true;
		*ret_ending = (struct ending){h, o, t->ops};
	}
	type_unlock(t);
	return mine;
}

/* Its type is there: it has a live object. */
void ending_free(struct ending *ending)
{
	struct ending gone = TAKE(*ending);
	struct type *t;

	if (!gone.handle.type)
		return;
	t = type_lock(gone.handle.type);
	if (t)
		object_free(t, gone.object);
}

/* ---- all of a type ---- */

/* One live object at *slot or after it. */
struct visit {
	struct handle handle;
	struct object_owner owner;
	void *object;
};

/* Result: false when there is none left. */
static bool next_object(uint32_t type, uint32_t *slot, struct visit *ret_visit)
{
	struct type *t = type_lock(type);
	bool found = false;

	if (!t)
		return false;
	for (uint64_t end = (uint64_t)t->n_places << t->chunk_log; *slot < end && !found;
	     (*slot)++) {
		struct object *o = object_in_slot(t, *slot);

		found = o && !o->ending;
		if (found)
			*ret_visit = (struct visit){handle_of(o), {{o->cell}, o->task}, o->bytes};
	}
	type_unlock(t);
	return found;
}

int object_for_each(struct heap_type type,
		    int (*each)(struct handle h, void *object, struct object_owner owner,
				void *arg),
		    void *arg)
{
	uint32_t slot = 0;
	struct visit v;

	while (next_object(type.id, &slot, &v)) {
		int r = each(v.handle, v.object, v.owner, arg);

		if (r != 0)
			return r;
	}
	return 0;
}
CELL_EXPORT(object_for_each);
