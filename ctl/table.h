/* SPDX-License-Identifier: MIT */
/* A table for people: columns as wide as they must be. */
#ifndef THESEUS_CTL_TABLE_H
#define THESEUS_CTL_TABLE_H

#include <stddef.h>

struct table {
	const char *const *headers; /* borrowed; one that begins with '>' is aligned right */
	size_t columns;
	char **cells; /* row by row */
	size_t n, size;
};

void table_init(struct table *t, const char *const *headers, size_t columns);

/* Fills the next cell, row by row. The text is cleaned: it may come from a guest. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* To stdout, and empties the table. */
void table_print(struct table *t);

#endif
