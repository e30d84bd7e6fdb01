/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

void table_init(struct table *t, const char *const *headers, size_t columns)
{
	*t = (struct table){.headers = headers, .columns = columns};
}

void table_add(struct table *t, const char *fmt, ...)
{
	CLEANUP_FREE char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;
	if (t->n == t->size) {
		size_t size = t->size ? 2 * t->size : 64;
		char **cells = reallocarray(t->cells, size, sizeof(*cells));

		if (!cells)
			return;
		t->cells = cells;
		t->size = size;
	}
	t->cells[t->n++] = text ? clean_text(text, (size_t)n, false) : NULL;
}

/* Characters shown, not bytes. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; s && *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t columns_wide, int right, int last)
{
	size_t have = width(text);
	int pad = columns_wide > have ? (int)(columns_wide - have) : 0;

	if (right)
		printf("%*s%s%s", pad, "", text ? text : "", last ? "\n" : "  ");
	else if (last)
		printf("%s\n", text ? text : "");
	else
		printf("%s%*s  ", text ? text : "", pad, "");
}

void table_print(struct table *t)
{
	CLEANUP_FREE size_t *widths = calloc(t->columns, sizeof(*widths));

	for (size_t col = 0; widths && col < t->columns; col++)
		widths[col] = width(t->headers[col] + (t->headers[col][0] == '>'));
	for (size_t i = 0; widths && i < t->n; i++)
		if (width(t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = width(t->cells[i]);
	for (size_t col = 0; widths && col < t->columns; col++) {
		int right = t->headers[col][0] == '>';

		print_cell(t->headers[col] + right, widths[col], right, col + 1 == t->columns);
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t col = i % t->columns;

		if (widths)
			print_cell(t->cells[i], widths[col], t->headers[col][0] == '>',
				   col + 1 == t->columns);
		free(t->cells[i]);
	}
	free(t->cells);
	*t = (struct table){0};
}
