/* SPDX-License-Identifier: MIT */
/*
 * Reads a block of foreign bytes front to back; cannot overrun. A read past the end sets
 * `bad`, yields zeros, and every later read does the same: check once after a group of reads.
 */
#ifndef THESEUS_LIB_CURSOR_H
#define THESEUS_LIB_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *data; /* borrowed */
	size_t len;
	size_t at;
	bool bad;
};

/* A cursor over [@offset, @offset + @len) of @data; bad at once where that is not inside. */
static inline struct cursor cursor_at(const void *data, size_t size, uint64_t offset, uint64_t len)
{
	if (offset > size || len > size - offset)
		return (struct cursor){.bad = true};
	return (struct cursor){.data = (const uint8_t *)data + offset, .len = len};
}

/* The next @len bytes, or NULL. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t len)
{
	const uint8_t *p;

	if (c->bad || len > c->len - c->at) {
		c->bad = true;
		return NULL;
	}
	p = c->data + c->at;
	c->at += len;
	return p;
}

/* The next @bytes (1..8) as a little-endian integer. */
static inline uint64_t cursor_le(struct cursor *c, unsigned int bytes)
{
	const uint8_t *p = cursor_take(c, bytes);
	uint64_t v = 0;

	for (unsigned int i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

#endif
