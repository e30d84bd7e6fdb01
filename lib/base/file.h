/* SPDX-License-Identifier: MIT */
/* Whole files and child processes, for tools that build things. May block on the disk. */
#ifndef THESEUS_LIB_FILE_H
#define THESEUS_LIB_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/*
 * Reads a regular file of at most @max bytes into a malloc'ed block that the caller owns
 * (NUL-terminated). Result: 0, -EFBIG, -EISDIR, -EINVAL (not a regular file), -errno.
 */
int file_read(const char *path, size_t max, uint8_t **ret_data, size_t *ret_size);

/*
 * Writes @data beside @path and renames: a reader sees the old file or the new one whole. A link
 * stays one; what is there and is no file, as a device or a pipe, is written to instead.
 * Result: 0, -EISDIR, or another -errno, with nothing left behind.
 */
int file_write(const char *path, const void *data, size_t size);

/* The same, but leaves a file alone that already has this content, time stamp included. */
int file_update(const char *path, const void *data, size_t size);

/* Makes a private directory under $TMPDIR or /tmp. Result: malloc'ed path, or NULL with errno. */
char *temp_dir(void);

/* Removes a directory that holds only files, and frees the path. Accepts NULL. */
void temp_dir_remove(char *path);

/* The same as a cleanup attribute. */
static inline void temp_dir_drop(char **path)
{
	temp_dir_remove(*path);
}

/* Cleanup attribute for strings. */
void str_free(char **s);

/*
 * Runs argv[0] (searched in PATH) and waits for it. What it writes to stdout and stderr is
 * appended to @output. Result: its exit status (128 + signal if it was killed), -errno when
 * it could not be started.
 */
int child_run(char *const argv[], struct buf *output);

#endif
