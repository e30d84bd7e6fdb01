/* SPDX-License-Identifier: MIT */
/*
 * Read-only bytes with their length: the only way the link core looks at untrusted input.
 * Every access names an offset and is checked; nothing here can overrun. Values are copied
 * out, so alignment does not matter and a value that was checked stays what it was.
 */
#ifndef THESEUS_LOADER_SLICE_H
#define THESEUS_LOADER_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *p;
	size_t n;
};

static inline bool slice_sub(struct slice s, uint64_t offset, uint64_t len, struct slice *ret)
{
	if (offset > s.n || len > s.n - offset)
		return false;
	*ret = (struct slice){s.p + offset, (size_t)len};
	return true;
}

/* Copies @len bytes at @offset out. */
static inline bool slice_copy(struct slice s, uint64_t offset, void *dst, size_t len)
{
	if (offset > s.n || len > s.n - offset)
		return false;
	memcpy(dst, s.p + offset, len);
	return true;
}

static inline struct slice slice_of(const char *text)
{
	return (struct slice){(const uint8_t *)text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
	return slice_equal(a, slice_of(text));
}

static inline bool slice_starts(struct slice a, const char *text)
{
	size_t n = strlen(text);

	return a.n >= n && memcmp(a.p, text, n) == 0;
}

/* The NUL-terminated string at @offset, without its NUL; false when no NUL ends it. */
static inline bool slice_string(struct slice s, uint64_t offset, struct slice *ret)
{
	size_t n = 0;

	if (offset >= s.n)
		return false;
	while (offset + n < s.n && s.p[offset + n] != '\0')
		n++;
	if (offset + n == s.n)
		return false;
	*ret = (struct slice){s.p + offset, n};
	return true;
}

/* For printf: "%.*s", SLICE_ARG(name) */
#define SLICE_ARG(s) (int)((s).n < 1024 ? (s).n : 1024), (const char *)(s).p

#endif
