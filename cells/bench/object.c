/* SPDX-License-Identifier: MIT */
/* Typed objects: one made, found by its handle and destroyed, while there are param others. */
#include <theseus/heap.h>

#include "internal.h"

#define OBJECT_BYTES 64u
#define OBJECTS_MAX 100000u
#define LOOKS 1000u /* a sample */

/* Of a benchmark; in its task's frame. */
struct objects {
	struct heap_type type;
	struct object_owner owner;
	uint64_t n;
	struct handle some; /* one of them */
};

static int destroy(struct handle h, void *object, struct object_owner owner, void *arg)
{
	(void)object;
	(void)owner;
	return object_destroy(*(struct heap_type *)arg, h);
}

static void objects_drop(struct objects *o)
{
	(void)object_for_each(o->type, destroy, &o->type);
	(void)!heap_type_destroy(o->type);
}

static int objects_make(struct objects *o, uint64_t n)
{
	int r = 0;

	o->owner = (struct object_owner){.cell = CELL_SELF};
	for (o->n = 0; r == 0 && o->n < n; o->n++)
		r = object_create(o->type, o->owner, &o->some);
	return r;
}

static int create_samples(struct bench *b, const struct objects *o)
{
	while (bench_more(b)) {
		uint64_t start = bench_start();
		struct handle h;
		int r = object_create(o->type, o->owner, &h);

		if (r == 0)
			r = object_destroy(o->type, h);
		if (r < 0)
			return r;
		bench_stop(b, start);
	}
	return 0;
}

static int look_samples(struct bench *b, const struct objects *o)
{
	b->ops = LOOKS;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < LOOKS; i++)
			if (!object_get(o->type, o->some))
				return -ESTALE;
		bench_stop(b, start);
	}
	return 0;
}

static int among(struct bench *b, int (*samples)(struct bench *b, const struct objects *o))
{
	OWNED(objects_drop) struct objects o = {.n = 0};
	int r = b->param < 1 || b->param > OBJECTS_MAX
			? -EINVAL
			: heap_type_create(CELL_SELF, "bench", OBJECT_BYTES, OBJECT_NO_OPS,
					   &o.type);

	if (r == 0)
		r = objects_make(&o, b->param);
	return r < 0 ? r : samples(b, &o);
}

static int create(struct bench *b)
{
	return among(b, create_samples);
}
CELL_PROVIDE(bench_ops,
	     object_create) = {.run = create, .n_params = 5, .params = {1, 10, 100, 1000, 10000}};

static int look(struct bench *b)
{
	return among(b, look_samples);
}
CELL_PROVIDE(bench_ops,
	     object_get) = {.run = look, .n_params = 5, .params = {1, 10, 100, 1000, 10000}};
