/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <string.h>

struct writer {
	char *buf;
	size_t size, used; /* size > 0; used < size */
};

static void put(struct writer *w, char c)
{
	if (w->used + 1 < w->size)
		w->buf[w->used++] = c >= ' ' && c <= '~' ? c : '?';
}

static void put_text(struct writer *w, const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i] != '\0'; i++)
		put(w, s[i]);
}

static void put_number(struct writer *w, uint64_t v, unsigned base)
{
	char digits[24];
	size_t n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put(w, digits[--n]);
}

size_t report_vformat(char *buf, size_t size, const char *fmt, va_list args)
{
	struct writer w = {buf, size, 0};

	for (; *fmt; fmt++) {
		size_t max = SIZE_MAX;

		if (*fmt != '%') {
			put(&w, *fmt);
			continue;
		}
		fmt++;
		if (fmt[0] == '.' && fmt[1] == '*') {
			max = (size_t)va_arg(args, int);
			fmt += 2;
		}
		if (*fmt == 's') {
			put_text(&w, va_arg(args, const char *), max);
		} else if (*fmt == 'u') {
			put_number(&w, va_arg(args, unsigned), 10);
		} else if (*fmt == 'l') {
			uint64_t v = va_arg(args, uint64_t);

			fmt++;
			if (*fmt == 'd' && (int64_t)v < 0) {
				put(&w, '-');
				v = -v;
			}
			put_number(&w, v, *fmt == 'x' ? 16 : 10);
		} else {
			put(&w, *fmt);
		}
	}
	w.buf[w.used] = '\0';
	return w.used;
}

size_t report_format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = report_vformat(buf, size, fmt, args);
	va_end(args);
	return n;
}

void report_add(struct loader_report *report, const char *code, const char *fmt, ...)
{
	uint32_t n = report->n_reasons;
	va_list args;

	if (n >= LOADER_REASONS_MAX) {
		(void)report_format(report->reasons[LOADER_REASONS_MAX - 1], LOADER_REASON_BYTES,
				    "... and more reasons");
		return;
	}
	if (n == 0)
		(void)report_format(report->code, sizeof(report->code), "%s", code);
	va_start(args, fmt);
	(void)report_vformat(report->reasons[n], LOADER_REASON_BYTES, fmt, args);
	va_end(args);
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(report->reasons[i], report->reasons[n]) == 0)
			return;
	}
	report->n_reasons = n + 1;
}
