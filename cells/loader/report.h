/* SPDX-License-Identifier: MIT */
/* Collects why something was refused. Works without libc: the seed uses it too. */
#ifndef THESEUS_LOADER_REPORT_H
#define THESEUS_LOADER_REPORT_H

#include <stdarg.h>
#include <theseus/loader.h>

/*
 * Adds a reason, unless the same text is there already. The first one's @code becomes the report's.
 * Reasons beyond LOADER_REASONS_MAX are dropped, and the last one kept says so; long ones are cut.
 * Format: %s, %.*s, %u, %lu, %lx, %ld, %%. Characters that are not printable become '?'.
 */
void report_add(struct loader_report *report, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same formatter for other texts. Result: length without the NUL, cut to fit @size. */
size_t report_format(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
size_t report_vformat(char *buf, size_t size, const char *fmt, va_list args)
	__attribute__((format(printf, 3, 0)));

#endif
