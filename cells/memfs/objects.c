/* SPDX-License-Identifier: MIT */
#include "internal.h"

void objects_add(struct memfs_objects *o, struct handle h)
{
	o->handles[o->n++] = h;
}

/* Whoever looks at all nodes looks at this one, too, under the lock. */
void node_drop(struct heap_type type, struct handle h)
{
	struct spinlock *names = &memfs_state()->names;
	void *object = NULL;
	int r;

	spin_lock_as(names, memfs_names);
	r = object_retire(type, h, &object);
	spin_unlock_as(names, memfs_names);
	if (r == 0)
		object_release(object);
}

void objects_drop(struct memfs_objects *o)
{
	while (o->n > 0) {
		struct handle h = o->handles[--o->n];
		struct heap_type type = {h.type};

		if (type.id == memfs_type(MEMFS_NODE).id)
			node_drop(type, h);
		else
			(void)object_destroy(type, h);
	}
}

static uint32_t count(const struct memfs_objects *o, struct heap_type type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < o->n; i++)
		n += o->handles[i].type == type.id;
	return n;
}

static const uint32_t bytes_of[MEMFS_KINDS] = {
	[MEMFS_NODE] = sizeof(struct memfs_node),
	[MEMFS_ENTRY] = sizeof(struct memfs_entry),
	[MEMFS_INDEX] = sizeof(struct memfs_index),
	[MEMFS_BLOCK] = BLOCK_BYTES,
};

/* @bytes: what memfs has. */
static int fill(struct memfs_supply *s, enum memfs_kind kind, uint64_t *bytes)
{
	const struct object_owner own = {.cell = CELL_SELF};
	struct heap_type type = memfs_type(kind);

	for (uint32_t n = count(&s->have, type); n < s->wanted[kind]; n++) {
		struct handle h = {0};
		int r = -ENOSPC;

		if (*bytes < memfs_state()->bytes_max)
			r = object_create(type, own, &h);
		if (r < 0)
			return r;
		objects_add(&s->have, h);
		*bytes += bytes_of[kind];
	}
	return 0;
}

int supply_fill(struct memfs_supply *s)
{
	struct heap_stats stats;

	if (!s->lacks)
		return 0;
	heap_stats(CELL_SELF, &stats);
	for (unsigned kind = 0; kind < MEMFS_KINDS; kind++) {
		int r = fill(s, kind, &stats.bytes);

		if (r < 0)
			return r;
	}
	s->lacks = false;
	return 0;
}

bool supply_has(struct memfs_supply *s, enum memfs_kind kind, uint32_t n)
{
	if (count(&s->have, memfs_type(kind)) >= n)
		return true;
	s->wanted[kind] = (uint8_t)n;
	s->lacks = true;
	return false;
}

void *supply_take(struct memfs_supply *s, enum memfs_kind kind, struct handle *ret_handle)
{
	struct heap_type type = memfs_type(kind);
	struct memfs_objects *o = &s->have;
	uint32_t i = o->n - 1;

	while (o->handles[i].type != type.id)
		i--;
	*ret_handle = o->handles[i];
	o->handles[i] = o->handles[--o->n];
	if (s->wanted[kind] > 0)
		s->wanted[kind]--;
	return object_get(type, *ret_handle);
}
