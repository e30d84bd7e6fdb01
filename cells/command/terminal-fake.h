/* SPDX-License-Identifier: MIT */
/* A terminal that is wide enough: what a person sees of an editor's echo. */
#ifndef COMMAND_TERMINAL_FAKE_H
#define COMMAND_TERMINAL_FAKE_H

#include "edit.h"

#define TERMINAL_COLUMNS 1024u

struct terminal {
	char row[TERMINAL_COLUMNS]; /* of the cursor; unused columns are blank */
	unsigned at;
	unsigned rows; /* newlines so far */
};

void terminal_init(struct terminal *t);
/* Result: 0; -EINVAL: a byte that an echo must not have, or a cursor out of the row. */
int terminal_show(struct terminal *t, const char *bytes, size_t n) MUST_USE;
/* Does the row show @e's line and the cursor stand where it says? */
bool terminal_agrees(const struct terminal *t, const struct editor *e);

#endif
