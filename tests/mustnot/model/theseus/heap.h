/* SPDX-License-Identifier: MIT */
/* theseus/heap.h as ../ownership.h models it. GCC knows heap_alloc() by its attributes. */
#include_next <theseus/heap.h>
#ifndef MODEL_HEAP_H
#define MODEL_HEAP_H

#ifdef __clang__
#define heap_alloc(owner, bytes) ((void)(owner), calloc(1, bytes))
#define heap_free free
#endif

static inline MUST_USE int model_object_create(struct heap_type type, struct object_owner owner,
					       struct handle *ret_handle)
{
	struct handle real = {0};
	int r = object_create(type, owner, &real);

	if (r < 0)
		return r;
	*ret_handle = (struct handle){.type = real.type, .token_ = calloc(1, HEAP_OBJECT_MAX)};
	return ret_handle->token_ ? 0 : -1;
}

static inline int model_object_destroy(struct heap_type type, struct handle h)
{
	(void)type;
	free(h.token_);
	return 0;
}

#define object_create model_object_create
#define object_destroy model_object_destroy
#define object_get(type, h) ((void)(type), (h).token_)

#endif
