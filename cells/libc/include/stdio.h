/* SPDX-License-Identifier: MIT */
/*
 * Formatting into memory; there are no streams.
 *
 * Conversions: d i u o x X p s c %, flags - 0 + space #, width and precision (also *),
 * lengths hh h l ll z j t. No floating point, no %n. A conversion that is none of these ends
 * the output there. %p prints 0x and hex digits, and (nil) for NULL; %s prints (null) for NULL.
 * Result: bytes the whole text has, without the NUL; the output was cut if that is >= @size.
 */
#ifndef THESEUS_LIBC_STDIO_H
#define THESEUS_LIBC_STDIO_H

#include <stdarg.h>
#include <stddef.h>

int snprintf(char *restrict buf, size_t size, const char *restrict fmt, ...)
	__attribute__((format(printf, 3, 4)));
int vsnprintf(char *restrict buf, size_t size, const char *restrict fmt, va_list args)
	__attribute__((format(printf, 3, 0)));

#endif
