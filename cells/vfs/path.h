/* SPDX-License-Identifier: MIT */
/* Cutting a path into names. Pure. */
#ifndef VFS_PATH_H
#define VFS_PATH_H

#include <theseus/vfs.h>

/* What is left of a path. */
struct path {
	const char *at; /* borrowed */
	bool directory; /* a '/' stood behind the last name */
	bool dot;       /* and then a "." */
};

/*
 * Copies @text, an absolute path. Result: 0; -EINVAL, -ENAMETOOLONG. @text is a client's:
 * it is looked at here only.
 */
int path_open(const char *text, char copy[VFS_PATH_MAX], struct path *ret_path) MUST_USE;

/* The next name, "." left out. Result: 1, 0 = none is left, -ENAMETOOLONG. */
int path_next(struct path *path, struct fs_name *ret_name) MUST_USE;

/* Is there no name left? */
bool path_ended(const struct path *path);

#endif
