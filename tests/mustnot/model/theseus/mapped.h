/* SPDX-License-Identifier: MIT */
/* theseus/mapped.h as ../ownership.h models it. */
#include_next <theseus/mapped.h>
#ifndef MODEL_MAPPED_H
#define MODEL_MAPPED_H

static inline MUST_USE int model_mapped_create(enum mapped_kind kind, size_t bytes,
					       struct mapped *ret_region)
{
	struct mapped real = {0};
	int r = mapped_create(kind, bytes, &real);

	if (r < 0)
		return r;
	*ret_region = (struct mapped){.slot = real.slot, .token_ = calloc(1, bytes)};
	return ret_region->token_ ? 0 : -1;
}

static inline void model_mapped_drop(struct mapped *region)
{
	free(region->token_);
	*region = (struct mapped){0};
}

#define mapped_create(...) model_mapped_create(__VA_ARGS__)
#define mapped_drop model_mapped_drop
#undef MAPPED_VIEW
#define MAPPED_VIEW(type, region, offset, count) \
	((type *)(void *)((char *)(region).token_ + (size_t)(offset)))

#endif
