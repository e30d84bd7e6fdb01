/* SPDX-License-Identifier: MIT */
/*
 * Growable byte buffer with a sticky error: append without looking, ask buf_ok() once at the
 * end. Not thread-safe. {0} is an empty buffer.
 */
#ifndef THESEUS_LIB_BUF_H
#define THESEUS_LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NUL follows the last byte once anything was appended */
	size_t len;
	size_t cap;
	bool failed; /* memory ran out; the content is incomplete */
};

/* Frees the content; accepts an empty buffer. Usable as a cleanup attribute. */
void buf_done(struct buf *b);

/* Appends a copy of @len bytes. */
void buf_put(struct buf *b, const void *data, size_t len);

/* Appends @len bytes of @fill. */
void buf_fill(struct buf *b, uint8_t fill, size_t len);

/* Appends fill bytes of 0 up to the next multiple of @align (a power of two). */
void buf_align(struct buf *b, size_t align);

void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Little-endian integers. */
void buf_put_le(struct buf *b, uint64_t value, unsigned int bytes);

static inline bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

/* The content as a string: "" while it is empty. Borrowed until the next change. */
static inline const char *buf_str(const struct buf *b)
{
	return b->data ? (const char *)b->data : "";
}

/* Moves the content out as a malloc'ed, NUL-terminated block; NULL when memory ran out. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);

#endif
