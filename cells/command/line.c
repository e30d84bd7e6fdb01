/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <theseus/errno.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Moves the word at *@at to its front without its quotes and ends it. Result: 0, -EINVAL. */
static int take_word(char **at)
{
	char *to = *at, *from = *at;
	bool quoted = false;

	while (*from && (quoted || !is_blank(*from))) {
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
		from++;
	}
	if (quoted)
		return -EINVAL;
	if (*from)
		from++;
	*to = '\0';
	*at = from;
	return 0;
}

int command_split(char *line, const char *argv[COMMAND_ARGS_MAX + 1])
{
	int argc = 0;

	for (;;) {
		while (is_blank(*line))
			line++;
		if (!*line)
			break;
		if (argc == COMMAND_ARGS_MAX)
			return -E2BIG;
		argv[argc++] = line;
		if (take_word(&line) < 0)
			return -EINVAL;
	}
	argv[argc] = NULL;
	return argc;
}
