/* SPDX-License-Identifier: MIT */
/*
 * The files that belong to a cell, while it is checked: which lines of them are code, and
 * which hold an unsafe operation. A file is known by its real path.
 */
#ifndef THESEUS_LIB_CHECK_FILES_H
#define THESEUS_LIB_CHECK_FILES_H

#include "report.h"

#define CHECK_FILE_BYTES (8u << 20)

struct own_file {
	char *path; /* real */
	char *text; /* NUL-terminated */
	size_t size;
	uint8_t *code;   /* a flag a line, from line 1 on at [0] */
	uint8_t *unsafe; /* the same */
	size_t n_lines;
};

struct own_files {
	struct own_file *files;
	size_t n;
	char **dirs; /* real, ending in '/': what lies below is the cell's own */
	size_t n_dirs;
	const char *root; /* cut off in messages; NULL = nothing is */

	/* operations found: sorted and made unique at the end */
	struct own_op {
		size_t file;
		unsigned int line, column;
		enum unsafe_kind kind;
	} * ops;
	size_t n_ops, ops_cap;
};

void own_files_done(struct own_files *o);

/* What lies below the folder @path, or that of the file @path, is own. 0, -ENOMEM, -errno. */
int own_files_add_dir(struct own_files *o, const char *path);

/* Index of the own file at the real path @path, read when new; -ENOENT when it is not own. */
int64_t own_files_find(struct own_files *o, const char *path);

/* Notes an operation on the lines [@first, @last]. Result: 0 or -ENOMEM. */
int own_files_op(struct own_files *o, size_t file, enum unsafe_kind kind, unsigned int first,
		 unsigned int last, unsigned int column);

/* Adds everything up. */
void own_files_sum(struct own_files *o, struct safety *s);

#endif
