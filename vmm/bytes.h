/* SPDX-License-Identifier: MIT */
/* A bounded queue of bytes that gives its memory back when it is empty. */
#ifndef VMM_BYTES_H
#define VMM_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	uint8_t *data;
	size_t start, used, room; /* data[start .. start + used), room bytes allocated */
	size_t max;
};

#define BYTES_INIT(limit) ((struct bytes){.max = (limit)})

/* How much more it takes. */
static inline size_t bytes_free(const struct bytes *b)
{
	return b->max - b->used;
}

/* Appends all of @data or nothing. Result: 0, -ENOBUFS over the limit, -ENOMEM. */
int bytes_append(struct bytes *b, const void *data, size_t len) __attribute__((warn_unused_result));

/* The queued bytes, b->used of them, borrowed until the next call. */
static inline const uint8_t *bytes_peek(const struct bytes *b)
{
	return b->data + b->start;
}

/* Drops the first @len (at most b->used) bytes. */
void bytes_drop(struct bytes *b, size_t len);

void bytes_clear(struct bytes *b);

#endif
