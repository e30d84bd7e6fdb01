/* SPDX-License-Identifier: MIT */
#include <theseus/command.h>

#include <stdio.h>
#include <string.h>

#include <theseus/loader.h>

#include "line.h"

CELL_INFO(.name = "command", .version = "1.0.0",
	  .summary = "text commands of all cells, and the console that runs them",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_CONSUMES(command_ops);

CELL_EXPORT(command_write);
CELL_EXPORT(command_printf);
CELL_EXPORT(command_run);
CELL_EXPORT(command_run_line);

/* Commands are words with dashes to people and C identifiers to their cells. */
static int find(const char *name, struct command_ops_h *ret_command)
{
	char id[CELL_NAME_MAX];

	if (strlcpy(id, name, sizeof(id)) >= sizeof(id))
		return -ENOENT;
	for (char *c = strchr(id, '-'); c; c = strchr(c, '-'))
		*c = '_';
	return iface_find("command_ops", id, &ret_command->h);
}

int command_run(struct command_io *io, int argc, const char *const *argv)
{
	struct command_ops_h h;
	const struct command_ops *ops;
	int r;

	if (argc < 1 || argc > COMMAND_ARGS_MAX)
		return -E2BIG;
	r = find(argv[0], &h);
	if (r < 0)
		return r;
	ops = command_ops_get(h);
	return ops ? ops->run(io, argc, argv) : -ENOENT;
}

int command_run_line(struct command_io *io, const char *line)
{
	const char *argv[COMMAND_ARGS_MAX + 1];
	char copy[COMMAND_LINE_MAX];
	int argc;

	if (strlcpy(copy, line, sizeof(copy)) >= sizeof(copy))
		return -ENAMETOOLONG;
	argc = command_split(copy, argv);
	if (argc <= 0)
		return argc;
	return command_run(io, argc, argv);
}
