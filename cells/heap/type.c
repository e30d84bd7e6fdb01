/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <string.h>

struct type *type_lock(uint32_t id) NO_THREAD_SAFETY
{
	struct type *t = __atomic_load_n(&heap_types()->types[id % TYPES_MAX], __ATOMIC_ACQUIRE);

	if (id == 0 || !t)
		return NULL;
	spin_lock(&t->lock);
	if (t->id == id)
		return t;
	spin_unlock(&t->lock);
	return NULL;
}

void type_unlock(struct type *t) NO_THREAD_SAFETY
{
	spin_unlock(&t->lock);
}

/*
 * A record that is not in use, *spare if need be. The types are locked. Result: its number
 * in the table; TYPES_MAX when there is none, and @spare or numbers are out.
 */
static uint32_t type_place(struct types *types, struct type **spare) REQUIRES(types->lock)
{
	for (uint32_t i = 0; i < TYPES_MAX; i++) {
		const struct type *t = types->types[i];

		if (t && t->id == 0)
			return i;
		if (t || !*spare)
			continue;
		__atomic_store_n(&types->types[i], TAKE(*spare), __ATOMIC_RELEASE);
		return i;
	}
	return TYPES_MAX;
}

/* Id of the type; 0: there is none. The types are locked. */
static uint32_t type_id(const struct types *types, struct cell_ref server, const char *name) REQUIRES(types->lock)
{
	for (uint32_t i = 0; i < TYPES_MAX; i++) {
		const struct type *t = types->types[i];

		if (t && t->id && t->server.id == server.id &&
		    strncmp(t->name, name, sizeof(t->name)) == 0)
			return t->id;
	}
	return 0;
}

/* What heap_type_create() was asked for. */
struct wish {
	struct cell_ref server;
	const char *name;
	uint32_t bytes;
	struct object_ops_h ops;
};

static void type_fill(struct type *t, uint32_t index, const struct wish *w) REQUIRES(heap_type_lock)
{
	/* 24 bits; 0 never */
	t->generation = t->generation % 0xffffff + 1;
	t->server = w->server;
	memcpy(t->name, w->name, strlen(w->name) + 1);
	t->ops = w->ops;
	t->bytes = w->bytes;
	t->stride = (uint32_t)(sizeof(struct object) + w->bytes + 15) / 16 * 16;
	t->chunk_log = chunk_log_of(t->stride);
	t->n_places = 0;
	t->places_max = 0;
	t->first_place = NO_SLOT;
	t->n_live = 0;
	t->places = NULL;
	t->partial = NULL;
	t->empty = NULL;
	t->id = t->generation * TYPES_MAX | index;
}

/* Result: 0 and a type; -EEXIST; -ENOMEM, with more memory perhaps 0. */
static int type_enter(const struct wish *w, struct type **spare, struct heap_type *ret_type)
{
	struct types *types = heap_types();
	uint32_t index;
	int r = -ENOMEM;

	spin_lock(&types->lock);
	if (type_id(types, w->server, w->name)) {
		r = -EEXIST;
	} else if ((index = type_place(types, spare)) < TYPES_MAX) {
		struct type *t = types->types[index];

		spin_lock_as(&t->lock, heap_type_lock);
		type_fill(t, index, w);
		*ret_type = (struct heap_type){t->id};
		spin_unlock_as(&t->lock, heap_type_lock);
		r = 0;
	}
	spin_unlock(&types->lock);
	return r;
}

int heap_type_create(struct cell_ref server, const char *name, size_t bytes,
		     struct object_ops_h ops, struct heap_type *ret_type)
{
	LEDGER_WHOLE();
	const struct wish w = {server, name, (uint32_t)bytes, ops};
	size_t len = strnlen(name, CELL_NAME_MAX);
	struct type *spare = NULL;
	int r;

	if (len == 0 || len == CELL_NAME_MAX || bytes == 0 || bytes > HEAP_OBJECT_MAX)
		return -EINVAL;
	r = type_enter(&w, &spare, ret_type);
	if (r != -ENOMEM)
		return r;
	spare = heap_alloc(NOBODY, sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	memset(spare, 0, sizeof(*spare));
	r = type_enter(&w, &spare, ret_type);
	if (spare)
		heap_free(spare);
	return r;
}
CELL_EXPORT(heap_type_create);

int heap_type_find(struct cell_ref server, const char *name, struct heap_type *ret_type)
{
	struct types *types = heap_types();
	uint32_t id;

	spin_lock(&types->lock);
	id = type_id(types, server, name);
	spin_unlock(&types->lock);
	if (id == 0)
		return -ENOENT;
	*ret_type = (struct heap_type){id};
	return 0;
}
CELL_EXPORT(heap_type_find);

int heap_type_destroy(struct heap_type type)
{
	LEDGER_WHOLE();
	struct types *types = heap_types();
	struct chunk *empty = NULL;
	union place *places = NULL;
	struct type *t;
	int r = -ESTALE;

	spin_lock(&types->lock);
	t = type_lock(type.id);
	if (t) {
		r = t->n_live > 0 ? -EBUSY : 0;
		if (r == 0) {
			empty = chunk_take_empty(t);
			places = TAKE(t->places);
			t->id = 0;
		}
		type_unlock(t);
	}
	spin_unlock(&types->lock);
	if (empty)
		heap_free(empty);
	if (places)
		heap_free(places);
	return r;
}
CELL_EXPORT(heap_type_destroy);

void types_trim(void)
{
	LEDGER_WHOLE();
	struct types *types = heap_types();

	for (uint32_t i = 0; i < TYPES_MAX; i++) {
		struct type *t = __atomic_load_n(&types->types[i], __ATOMIC_ACQUIRE);
		struct chunk *empty;

		if (!t)
			continue;
		spin_lock_as(&t->lock, heap_type_lock);
		empty = t->id ? chunk_take_empty(t) : NULL;
		spin_unlock_as(&t->lock, heap_type_lock);
		if (empty)
			heap_free(empty);
	}
}
