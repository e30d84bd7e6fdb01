/* SPDX-License-Identifier: MIT */
/* Small things: time, numbers, text that is safe to show, buffers. */
#ifndef THESEUS_CTL_UTIL_H
#define THESEUS_CTL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_SEC 1000000000ull
#define DURATION_MAX_NS (86400ull * NS_PER_SEC)

uint64_t now_ns(void);       /* monotonic */
uint64_t wall_time_ns(void); /* since the epoch */

/* 0 or -EINVAL; the whole of @s must be used. Durations are at most a day. */
int parse_number(const char *s, uint64_t *ret_value);
int parse_duration(const char *s, uint64_t *ret_ns);

/* Text of a time ("1.23 ms") and a size ("4.0 KiB") in @buf, which is returned. */
#define FORMAT_MAX 32
const char *format_ns(uint64_t ns, char buf[FORMAT_MAX]);
const char *format_bytes(uint64_t bytes, char buf[FORMAT_MAX]);

/* Lower-case hex of @len bytes; malloc()ed, NULL when out of memory. */
char *hex(const void *data, size_t len) __attribute__((malloc, warn_unused_result));

/*
 * A copy of @len bytes that a terminal or a JSON reader can take, whatever the guest sent:
 * control characters (but newline and tab where @lines) and bytes that are not UTF-8 become
 * U+FFFD. malloc()ed, NULL when out of memory.
 */
char *clean_text(const void *data, size_t len, bool lines)
	__attribute__((malloc, warn_unused_result));

/*
 * Reads all of @path, at most @max bytes. *ret_data is malloc()ed and the caller's.
 * Result: 0, -EFBIG, or the -errno of the system.
 */
int read_file(const char *path, size_t max, uint8_t **ret_data, size_t *ret_len);

/* Cleanup helpers: never test for NULL themselves, the functions take it. */
void free_ptr(void *p);
void close_fd(int *fd);
#define CLEANUP_FREE __attribute__((cleanup(free_ptr)))
#define CLEANUP_FD __attribute__((cleanup(close_fd)))

#endif
