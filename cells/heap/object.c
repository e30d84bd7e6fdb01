/* SPDX-License-Identifier: MIT */
/*
 * Typed objects. A slot's number is its chunk's and its index in it; chunks come and go, and
 * generations come from one counter for all, so a handle whose slot was used again, or whose
 * chunk is another one by now, does not match.
 */
#include "internal.h"

#include <string.h>

#define CHUNK_BYTES (4096u - 16u) /* as a block it shall fit a class of 4 KiB */
#define CHUNK_LOG_MAX 6u
#define NO_SLOT UINT32_MAX

struct object {
	uint64_t generation; /* 0 = free */
	uint64_t task;
	uint32_t type, cell;
	uint32_t next_free; /* index in the chunk */
	uint32_t padding;
	uint8_t bytes[] __attribute__((aligned(16)));
};
_Static_assert(sizeof(struct object) == 32, "objects are aligned to 16");

struct chunk {
	struct chunk *prev, *next; /* chunks with something free */
	uint32_t index;            /* in the directory */
	uint32_t n_live;
	uint32_t n_touched; /* objects from here on were never used */
	uint32_t first_free;
	uint8_t objects[] __attribute__((aligned(16)));
};

/* A place in the directory: a chunk, or the number of the next unused place. */
union place {
	struct chunk *chunk;
	uint64_t next; /* odd: number << 1 | 1 */
};

struct type {
	struct spinlock lock;
	uint32_t id; /* generation << 8 | index in the table; 0 = unused */
	uint32_t generation;
	struct cell_ref server;
	char name[CELL_NAME_MAX];
	uint32_t bytes, stride;
	uint32_t chunk_log; /* log2 of the objects in a chunk */
	uint32_t n_places, places_max;
	uint32_t first_place; /* unused one, or NO_SLOT */
	uint64_t n_live;
	union place *places;
	struct chunk *partial;
	struct chunk *empty; /* at most one is kept; it is in partial too */
};

/* ---- types ---- */

/* The record behind @id, locked; NULL if there is none. */
static struct type *type_lock(uint32_t id) NO_THREAD_SAFETY
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

static void type_unlock(struct type *t) NO_THREAD_SAFETY
{
	spin_unlock(&t->lock);
}

/*
 * A record that is not in use, *spare if need be. The types are locked. Result: its number
 * in the table; TYPES_MAX when there is none, and @spare or numbers are out.
 */
static uint32_t type_place(struct type **spare)
{
	struct type **types = heap_types()->types;

	for (uint32_t i = 0; i < TYPES_MAX; i++) {
		if (types[i] && types[i]->id == 0)
			return i;
		if (types[i] || !*spare)
			continue;
		__atomic_store_n(&types[i], TAKE(*spare), __ATOMIC_RELEASE);
		return i;
	}
	return TYPES_MAX;
}

static bool type_exists(struct cell_ref server, const char *name)
{
	for (uint32_t i = 0; i < TYPES_MAX; i++) {
		const struct type *t = heap_types()->types[i];

		if (t && t->id && t->server.id == server.id && strcmp(t->name, name) == 0)
			return true;
	}
	return false;
}

static uint32_t chunk_log_of(uint32_t stride)
{
	uint32_t log = 0;

	while (log < CHUNK_LOG_MAX &&
	       sizeof(struct chunk) + ((size_t)2 << log) * stride <= CHUNK_BYTES)
		log++;
	return log;
}

static void type_fill(struct type *t, uint32_t index, struct cell_ref server, const char *name,
		      size_t bytes)
{
	/* 24 bits; 0 never */
	t->generation = t->generation % 0xffffff + 1;
	t->server = server;
	memcpy(t->name, name, strlen(name) + 1);
	t->bytes = (uint32_t)bytes;
	t->stride = (uint32_t)(sizeof(struct object) + bytes + 15) / 16 * 16;
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
static int type_enter(struct cell_ref server, const char *name, size_t bytes, struct type **spare,
		      struct heap_type *ret_type)
{
	struct types *types = heap_types();
	uint32_t index;
	int r = -ENOMEM;

	spin_lock(&types->lock);
	if (type_exists(server, name)) {
		r = -EEXIST;
	} else if ((index = type_place(spare)) < TYPES_MAX) {
		struct type *t = types->types[index];

		spin_lock(&t->lock);
		type_fill(t, index, server, name, bytes);
		*ret_type = (struct heap_type){t->id};
		spin_unlock(&t->lock);
		r = 0;
	}
	spin_unlock(&types->lock);
	return r;
}

int heap_type_create(struct cell_ref server, const char *name, size_t bytes,
		     struct heap_type *ret_type)
{
	size_t len = strnlen(name, CELL_NAME_MAX);
	struct type *spare = NULL;
	int r;

	if (len == 0 || len == CELL_NAME_MAX || bytes == 0 || bytes > HEAP_OBJECT_MAX)
		return -EINVAL;
	r = type_enter(server, name, bytes, &spare, ret_type);
	if (r != -ENOMEM)
		return r;
	spare = block_alloc(heap_blocks(), sizeof(*spare), OWNER_NOBODY);
	if (!spare)
		return -ENOMEM;
	memset(spare, 0, sizeof(*spare));
	r = type_enter(server, name, bytes, &spare, ret_type);
	if (spare)
		block_free(heap_blocks(), spare);
	return r;
}
CELL_EXPORT(heap_type_create);

int heap_type_destroy(struct heap_type type)
{
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
			empty = TAKE(t->empty);
			places = TAKE(t->places);
			t->id = 0;
		}
		type_unlock(t);
	}
	spin_unlock(&types->lock);
	if (empty)
		block_free(heap_blocks(), empty);
	if (places)
		block_free(heap_blocks(), places);
	return r;
}
CELL_EXPORT(heap_type_destroy);

/* ---- chunks; the type is locked ---- */

static void list_chunk(struct type *t, struct chunk *c)
{
	c->prev = NULL;
	c->next = t->partial;
	if (t->partial)
		t->partial->prev = c;
	t->partial = c;
}

static void unlist_chunk(struct type *t, struct chunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		t->partial = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

static bool is_chunk(union place p)
{
	return (p.next & 1) == 0;
}

/* Memory for one more chunk, got while the type is not locked. */
struct supply {
	struct chunk *chunk;
	union place *places; /* a larger directory, if the one there is full */
	uint32_t places_max;
};

static void supply_drop(struct supply *s)
{
	if (s->chunk)
		block_free(heap_blocks(), s->chunk);
	if (s->places)
		block_free(heap_blocks(), s->places);
}

/* What the type lacks for another chunk. Result: 0, -ENOMEM. */
static int supply_get(struct supply *s, size_t chunk_bytes, uint32_t places_max)
{
	struct blocks *b = heap_blocks();

	if (!s->chunk)
		s->chunk = block_alloc(b, chunk_bytes, OWNER_NOBODY);
	if (places_max > s->places_max && places_max * sizeof(*s->places) <= BLOCK_MAX) {
		if (s->places)
			block_free(b, s->places);
		s->places = block_alloc(b, places_max * sizeof(*s->places), OWNER_NOBODY);
		s->places_max = s->places ? places_max : 0;
	}
	return s->chunk && s->places_max >= places_max ? 0 : -ENOMEM;
}

/* How many places the directory needs for another chunk; 0: it has one. */
static uint32_t places_lacking(const struct type *t)
{
	if (t->first_place != NO_SLOT || t->n_places < t->places_max)
		return 0;
	return t->places_max ? t->places_max * 2 : 8;
}

static uint32_t place_take(struct type *t)
{
	uint32_t place = t->first_place;

	if (place == NO_SLOT)
		return t->n_places++;
	t->first_place = (uint32_t)(t->places[place].next >> 1);
	return place;
}

static void place_give(struct type *t, uint32_t place)
{
	t->places[place].next = (uint64_t)t->first_place << 1 | 1;
	t->first_place = place;
}

/* Gives the type another chunk out of the supply, which has all that it takes. */
static void chunk_add(struct type *t, struct supply *s)
{
	struct chunk *c = TAKE(s->chunk);

	if (places_lacking(t) > 0) {
		union place *old = t->places;

		if (old)
			memcpy(s->places, old, t->n_places * sizeof(*old));
		t->places = s->places;
		t->places_max = s->places_max;
		s->places = old;
		s->places_max = 0;
	}
	*c = (struct chunk){.index = place_take(t), .first_free = NO_SLOT};
	t->places[c->index].chunk = c;
	list_chunk(t, c);
}

/*
 * The type behind @id, locked, with a free object. Result: 0; -EINVAL (no such type),
 * -ENOMEM: not locked.
 */
static int type_lock_with_room(uint32_t id, struct supply *s, struct type **ret_type)
{
	for (;;) {
		struct type *t = type_lock(id);
		uint32_t places;
		size_t bytes;
		int r;

		if (!t)
			return -EINVAL;
		*ret_type = t;
		if (t->partial)
			return 0;
		places = places_lacking(t);
		if (s->chunk && places <= s->places_max) {
			chunk_add(t, s);
			return 0;
		}
		bytes = sizeof(struct chunk) + ((size_t)t->stride << t->chunk_log);
		type_unlock(t);
		r = supply_get(s, bytes, places);
		if (r < 0)
			return r;
	}
}

static struct object *object_at(const struct type *t, struct chunk *c, uint32_t index)
{
	return (struct object *)(void *)(c->objects + (size_t)index * t->stride);
}

/* Takes an object out of a chunk that has one. Result: its index. */
static uint32_t chunk_take(struct type *t, struct chunk *c)
{
	uint32_t index = c->first_free;

	if (index == NO_SLOT)
		index = c->n_touched++;
	else
		c->first_free = object_at(t, c, index)->next_free;
	if (t->empty == c)
		t->empty = NULL;
	if (++c->n_live == 1u << t->chunk_log)
		unlist_chunk(t, c);
	return index;
}

/* Result: a chunk to free, or NULL. */
static struct chunk *chunk_give(struct type *t, struct chunk *c, uint32_t index)
{
	struct object *o = object_at(t, c, index);

	o->generation = 0;
	o->next_free = c->first_free;
	c->first_free = index;
	if (c->n_live-- == 1u << t->chunk_log)
		list_chunk(t, c);
	if (c->n_live > 0)
		return NULL;
	if (!t->empty) {
		t->empty = c;
		return NULL;
	}
	unlist_chunk(t, c);
	place_give(t, c->index);
	return c;
}

/* The live object in @slot with its chunk, or NULL. */
static struct object *find_object(const struct type *t, uint32_t slot, struct chunk **ret_chunk)
{
	uint32_t place = slot >> t->chunk_log, index = slot & ((1u << t->chunk_log) - 1);
	struct object *o;

	if (place >= t->n_places || !is_chunk(t->places[place]))
		return NULL;
	*ret_chunk = t->places[place].chunk;
	if (index >= (*ret_chunk)->n_touched)
		return NULL;
	o = object_at(t, *ret_chunk, index);
	return o->generation != 0 ? o : NULL;
}

/* ---- objects ---- */

static struct handle object_fill(struct type *t, struct chunk *c, uint32_t index,
				 struct object_owner owner)
{
	struct object *o = object_at(t, c, index);

	memset(o->bytes, 0, t->stride - sizeof(*o));
	o->generation = __atomic_add_fetch(&heap_types()->generation, 1, __ATOMIC_RELAXED);
	o->type = t->id;
	o->cell = owner.cell.id;
	o->task = owner.task;
	t->n_live++;
	return (struct handle){t->id, (c->index << t->chunk_log) + index, o->generation};
}

int object_create(struct heap_type type, struct object_owner owner, struct handle *ret_handle)
{
	struct supply supply = {0};
	struct type *t;
	uint32_t bytes;
	int r;

	if (owner.cell.id >= OWNERS)
		return -EINVAL;
	r = account_prepare(heap_blocks(), owner.cell.id);
	if (r < 0)
		return r;
	r = type_lock_with_room(type.id, &supply, &t);
	if (r >= 0) {
		struct chunk *c = t->partial;
		uint32_t index = chunk_take(t, c);

		*ret_handle = object_fill(t, c, index, owner);
		bytes = t->bytes;
		type_unlock(t);
		account_add(heap_blocks(), owner.cell.id, bytes, 1);
	}
	supply_drop(&supply);
	return r;
}
CELL_EXPORT(object_create);

void *object_get(struct heap_type type, struct handle h)
{
	struct object *o = NULL;
	struct chunk *c;
	struct type *t;

	if (h.type != type.id)
		return NULL;
	t = type_lock(type.id);
	if (!t)
		return NULL;
	o = find_object(t, h.slot, &c);
	if (o && o->generation != h.generation)
		o = NULL;
	type_unlock(t);
	return o ? o->bytes : NULL;
}
CELL_EXPORT(object_get);

int object_destroy(struct heap_type type, struct handle h)
{
	struct chunk *c, *drop = NULL;
	struct object *o;
	uint32_t cell = 0, bytes = 0;
	struct type *t;

	if (h.type != type.id)
		return -ESTALE;
	t = type_lock(type.id);
	if (!t)
		return -ESTALE;
	o = find_object(t, h.slot, &c);
	if (o && o->generation != h.generation)
		o = NULL;
	if (o) {
		cell = o->cell;
		bytes = t->bytes;
		t->n_live--;
		drop = chunk_give(t, c, h.slot & ((1u << t->chunk_log) - 1));
	}
	type_unlock(t);
	if (!o)
		return -ESTALE;
	if (drop)
		block_free(heap_blocks(), drop);
	account_add(heap_blocks(), cell, -(int64_t)bytes, -1);
	return 0;
}
CELL_EXPORT(object_destroy);

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
	struct object *o = NULL;
	struct chunk *c;

	if (!t)
		return false;
	for (uint64_t end = (uint64_t)t->n_places << t->chunk_log; *slot < end && !o; (*slot)++) {
		o = find_object(t, *slot, &c);
		if (o)
			*ret_visit = (struct visit){
				{t->id, *slot, o->generation}, {{o->cell}, o->task}, o->bytes};
	}
	type_unlock(t);
	return o != NULL;
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
