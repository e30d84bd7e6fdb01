/* SPDX-License-Identifier: MIT */
/* Between the walk (scan.c) and the rules (match.c), for one translation unit. */
#ifndef THESEUS_LIB_CHECK_MATCH_H
#define THESEUS_LIB_CHECK_MATCH_H

#include <clang-c/Index.h>

#include "files.h"

/* Where something stands; file: index in own_files, -ENOENT when the file is not own. */
struct place {
	int64_t file;
	unsigned int line, column, offset;
};

/* An expansion, written in an own file, and where the macro's body is. */
struct macro {
	struct place use, def;
	unsigned int def_last; /* line */
};

struct scan {
	struct own_files *own;
	struct buf *depends;
	CXTranslationUnit unit;
	struct macro *macros; /* sorted by use */
	size_t n_macros, macros_cap;
	CXFile last_file;
	int64_t last_index;
	int error;
};

struct place scan_place(struct scan *s, CXSourceLocation at);

/*
 * Notes the operation at @c if it belongs to the cell. What a macro wrote is put down to the
 * macro's body, or, with @at_use, to who used the macro. Result: 0 or -ENOMEM.
 */
int scan_op(struct scan *s, CXCursor c, enum unsafe_kind kind, bool at_use);

/* Applies every rule to one cursor. Result: 0 or -ENOMEM. */
int match_cursor(struct scan *s, CXCursor c, CXCursor parent);

/* A macro's definition: what its body would do wherever it is expanded. */
int match_macro_body(struct scan *s, CXCursor c);

#endif
