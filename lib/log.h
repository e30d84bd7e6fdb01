/* SPDX-License-Identifier: MIT */
/*
 * A log file that is rotated by size. Lines are "TIME SOURCE: TEXT", time in UTC, and hold
 * nothing that a terminal would obey: control bytes are written as \xNN, so that text of a
 * hostile guest may be logged.
 *
 * One thread at a time.
 */
#ifndef THESEUS_LIB_LOG_H
#define THESEUS_LIB_LOG_H

#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 512u /* bytes of text; longer lines are cut in pieces */

struct log;

/*
 * Opens @path (copied) for appending, mode 0600. A line that would make it larger than
 * @max_bytes first moves @path to @path.1, that to @path.2 and so on; @files are kept in all.
 *
 * Result: 0 and *@ret_log, owned by the caller; -errno.
 */
int log_open(const char *path, uint64_t max_bytes, unsigned int files, struct log **ret_log)
	__attribute__((warn_unused_result));

/* Closes. NULL is fine. */
void log_close(struct log *log);

/*
 * Opens the path anew: somebody else has moved the file. On failure the old one stays in use.
 * Result: 0 or -errno.
 */
int log_reopen(struct log *log);

const char *log_path(const struct log *log);

/* The descriptor in use now: for a last word when nothing else works any more. */
int log_fd(const struct log *log);

/* Writes @len bytes of @text as one line (or more, see LOG_LINE_MAX). */
void log_write(struct log *log, const char *source, const char *text, size_t len);

void log_printf(struct log *log, const char *source, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Lines that arrive in pieces: a guest's console. Zero-initialise but for @source. */
struct log_stream {
	const char *source;
	size_t used;
	char line[LOG_LINE_MAX];
};

/* Takes any bytes; writes a line for each newline or LOG_LINE_MAX bytes. */
void log_stream_write(struct log *log, struct log_stream *s, const void *data, size_t len);

/* Writes what stands there without a newline. */
void log_stream_flush(struct log *log, struct log_stream *s);

#endif
