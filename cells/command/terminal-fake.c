/* SPDX-License-Identifier: MIT */
#include "terminal-fake.h"

#include <string.h>
#include <theseus/errno.h>

static void clear(struct terminal *t)
{
	memset(t->row, ' ', sizeof(t->row));
	t->at = 0;
}

void terminal_init(struct terminal *t)
{
	clear(t);
	t->rows = 0;
}

int terminal_show(struct terminal *t, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			clear(t);
			t->rows++;
		} else if (bytes[i] == '\b' && t->at > 0) {
			t->at--;
		} else if (bytes[i] == '\x04') {
			continue; /* no terminal shows it */
		} else if (bytes[i] >= ' ' && bytes[i] < 0x7f && t->at < TERMINAL_COLUMNS - 1) {
			t->row[t->at++] = bytes[i];
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

bool terminal_agrees(const struct terminal *t, const struct editor *e)
{
	for (unsigned i = e->len; i < TERMINAL_COLUMNS; i++) {
		if (t->row[i] != ' ')
			return false;
	}
	return t->at == e->at && memcmp(t->row, e->line, e->len) == 0;
}
