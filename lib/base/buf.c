/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

/* Makes room for @extra bytes and the NUL after them. */
static bool buf_grow(struct buf *b, size_t extra)
{
	size_t need, cap = b->cap ? b->cap : 256;
	uint8_t *data;

	if (b->failed)
		return false;
	if (__builtin_add_overflow(b->len, extra, &need) || need > SIZE_MAX / 4) {
		b->failed = true;
		return false;
	}
	if (need < b->cap)
		return true;
	while (cap <= need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	if (!buf_grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = 0;
}

void buf_fill(struct buf *b, uint8_t fill, size_t len)
{
	if (!buf_grow(b, len))
		return;
	memset(b->data + b->len, fill, len);
	b->len += len;
	b->data[b->len] = 0;
}

void buf_align(struct buf *b, size_t align)
{
	buf_fill(b, 0, -b->len & (align - 1));
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n < 0)
		b->failed = true;
	else if (buf_grow(b, (size_t)n + 1)) {
		(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_put_le(struct buf *b, uint64_t value, unsigned int bytes)
{
	uint8_t le[8];

	for (unsigned int i = 0; i < 8; i++)
		le[i] = (uint8_t)(value >> (8 * i));
	buf_put(b, le, bytes);
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
	uint8_t *data;

	buf_put(b, "", 0); /* an empty buffer has a block too */
	if (b->failed) {
		buf_done(b);
		return NULL;
	}
	data = b->data;
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){0};
	return data;
}
