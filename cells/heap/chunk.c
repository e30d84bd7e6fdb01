/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <string.h>

#define CHUNK_BYTES (4096u - 16u) /* as a block it shall fit a class of 4 KiB */
#define CHUNK_LOG_MAX 6u

uint32_t chunk_log_of(uint32_t stride)
{
	uint32_t log = 0;

	while (log < CHUNK_LOG_MAX &&
	       sizeof(struct chunk) + ((size_t)2 << log) * stride <= CHUNK_BYTES)
		log++;
	return log;
}

static void list_chunk(struct type *t, struct chunk *c) REQUIRES(heap_type_lock)
{
	c->prev = NULL;
	c->next = t->partial;
	if (t->partial)
		t->partial->prev = c;
	t->partial = c;
}

static void unlist_chunk(struct type *t, struct chunk *c) REQUIRES(heap_type_lock)
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

void supply_drop(struct supply *s)
{
	if (s->chunk)
		heap_free(s->chunk);
	if (s->places)
		heap_free(s->places);
}

/* What the type lacks for another chunk. Result: 0, -ENOMEM. */
static int supply_get(struct supply *s, size_t chunk_bytes, uint32_t places_max)
{
	if (!s->chunk)
		s->chunk = heap_alloc(NOBODY, chunk_bytes);
	if (places_max > s->places_max && places_max * sizeof(*s->places) <= BLOCK_MAX) {
		if (s->places)
			heap_free(s->places);
		s->places = heap_alloc(NOBODY, places_max * sizeof(*s->places));
		s->places_max = s->places ? places_max : 0;
	}
	return s->chunk && s->places_max >= places_max ? 0 : -ENOMEM;
}

/* How many places the directory needs for another chunk; 0: it has one. */
static uint32_t places_lacking(const struct type *t) REQUIRES(heap_type_lock)
{
	if (t->first_place != NO_SLOT || t->n_places < t->places_max)
		return 0;
	return t->places_max ? t->places_max * 2 : 8;
}

static uint32_t place_take(struct type *t) REQUIRES(heap_type_lock)
{
	uint32_t place = t->first_place;

	if (place == NO_SLOT)
		return t->n_places++;
	t->first_place = (uint32_t)(t->places[place].next >> 1);
	return place;
}

static void place_give(struct type *t, uint32_t place) REQUIRES(heap_type_lock)
{
	t->places[place].next = (uint64_t)t->first_place << 1 | 1;
	t->first_place = place;
}

/* Gives the type another chunk out of the supply, which has all that it takes. */
static void chunk_add(struct type *t, struct supply *s) REQUIRES(heap_type_lock)
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

int type_lock_with_room(uint32_t id, struct supply *s, struct type **ret_type)
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

struct object *object_take(struct type *t)
{
	struct chunk *c = t->partial;
	uint32_t index = c->first_free;
	struct object *o;

	if (index == NO_SLOT)
		index = c->n_touched++;
	o = object_at(t, c, index);
	if (index == c->first_free)
		c->first_free = o->next_free;
	if (t->empty == c)
		t->empty = NULL;
	if (++c->n_live == 1u << t->chunk_log)
		unlist_chunk(t, c);
	o->slot = (c->index << t->chunk_log) + index;
	return o;
}

/* What is left of @c then is its memory. */
static void chunk_remove(struct type *t, struct chunk *c) REQUIRES(heap_type_lock)
{
	unlist_chunk(t, c);
	place_give(t, c->index);
}

struct chunk *chunk_take_empty(struct type *t)
{
	struct chunk *c = TAKE(t->empty);

	if (c)
		chunk_remove(t, c);
	return c;
}

struct chunk *object_give(struct type *t, struct object *o)
{
	struct chunk *c = t->places[o->slot >> t->chunk_log].chunk;

	o->generation = 0;
	o->next_free = c->first_free;
	c->first_free = o->slot & ((1u << t->chunk_log) - 1);
	if (c->n_live-- == 1u << t->chunk_log)
		list_chunk(t, c);
	if (c->n_live > 0)
		return NULL;
	if (!t->empty) {
		t->empty = c;
		return NULL;
	}
	chunk_remove(t, c);
	return c;
}

struct object *object_in_slot(const struct type *t, uint32_t slot)
{
	uint32_t place = slot >> t->chunk_log, index = slot & ((1u << t->chunk_log) - 1);
	struct object *o;
	struct chunk *c;

	if (place >= t->n_places || !is_chunk(t->places[place]))
		return NULL;
	c = t->places[place].chunk;
	if (index >= c->n_touched)
		return NULL;
	o = object_at(t, c, index);
	return o->generation != 0 ? o : NULL;
}
