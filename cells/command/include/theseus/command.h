/* SPDX-License-Identifier: MIT */
/*
 * Text commands that cells offer: CELL_PROVIDE(command_ops, greet) = { … } makes `greet`
 * known to `exec`, to the console and to `help`. A command leaves with its cell. An
 * underscore in the provider's name is a dash in the command's: caller_counts, `caller-counts`.
 * Context: tasks. Commands may block; several may run at once, in different tasks.
 */
#ifndef THESEUS_COMMAND_H
#define THESEUS_COMMAND_H

#include <theseus/cell.h>

/* Where a command's output goes. Storage is the caller's, made ready by command_io_init(). */
struct command_io {
	char *buf;      /* borrowed; not NUL-terminated */
	size_t size;
	size_t used;    /* bytes of output held */
	bool truncated; /* output did not fit and was cut */
};

struct command_ops {
	/*
	 * Result: 0 done, 1..255 failed with that status, or -errno. What went wrong is also
	 * said in the output. argv[0] is the command's name; argv[argc] is NULL. Borrowed.
	 */
	int (*run)(struct command_io *io, int argc, const char *const *argv);
	const char *help; /* one line: "[reset]  counts of calls by version" */
};
IFACE_DEFINE(command_ops);

#define COMMAND_ARGS_MAX 16     /* argc at most */
#define COMMAND_LINE_MAX 256u   /* bytes of a line, NUL included */
#define COMMAND_OUTPUT_MAX 32768u /* what `exec` and the console give a command */

static inline __attribute__((unused)) void command_io_init(struct command_io *io, char *buf,
							   size_t size)
{
	io->buf = buf;
	io->size = size;
	io->used = 0;
	io->truncated = false;
}

/* Adds output; what does not fit is dropped and marked. */
void command_write(struct command_io *io, const char *text, size_t len);
void command_printf(struct command_io *io, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Runs the command @argv[0] (argc 1..COMMAND_ARGS_MAX, argv[argc] NULL).
 * Result: as command_ops.run; -ENOENT when no cell offers it, -E2BIG for too many arguments.
 */
int command_run(struct command_io *io, int argc, const char *const *argv) MUST_USE;

/*
 * Splits @line at blanks ("…" keeps them) and runs it. An empty line is 0 and no output.
 * Result: as command_run(); -EINVAL for an open quote, -ENAMETOOLONG for a line too long.
 */
int command_run_line(struct command_io *io, const char *line) MUST_USE;

#endif
