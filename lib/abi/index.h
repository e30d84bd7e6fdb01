/* SPDX-License-Identifier: MIT */
/*
 * What the public headers declare: functions and interfaces with their ABI hashes.
 *
 * A hash is that of a unit which includes only the header in question, so that a type which
 * the header leaves incomplete hashes alike for the cell that defines it and for its clients.
 * Text form, one entry a line, sorted, tab-separated:
 *   kind ("function" or "interface"), name, hash (16 hex digits), flags ("r" = restartable,
 *   "-"), header as it is included, C type
 */
#ifndef THESEUS_LIB_ABI_INDEX_H
#define THESEUS_LIB_ABI_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reasons.h"

#define ABI_INDEX_BYTES_MAX (8u << 20)

enum abi_kind {
	ABI_FUNCTION = 1,
	ABI_INTERFACE, /* an operations table: struct NAME */
};

struct abi_entry {
	enum abi_kind kind;
	bool restartable; /* a function that a restart stub can stand before */
	uint64_t hash;
	char *name;
	char *header;    /* "theseus/heap.h" */
	char *signature; /* "void *(struct cell_ref, size_t)" */
};

struct abi_index {
	struct abi_entry *entries; /* sorted by kind and name once abi_index_sort() was called */
	size_t n, cap;
};

void abi_index_done(struct abi_index *index);

/* Appends a copy. Result: 0, -ENOMEM. */
int abi_index_add(struct abi_index *index, const struct abi_entry *entry);

/*
 * Sorts, and joins entries that agree. One name with two types in two headers is an error
 * that names both. Result: 0, -EPERM with @reasons.
 */
int abi_index_sort(struct abi_index *index, struct reasons *reasons);

/* In a sorted index. Borrowed; NULL when there is none. */
const struct abi_entry *abi_index_find(const struct abi_index *index, enum abi_kind kind,
				       const char *name);

void abi_index_write(const struct abi_index *index, struct buf *out);

/* Appends what abi_index_write() wrote. Result: 0, -EPERM with @reasons, -ENOMEM. */
int abi_index_parse(const char *text, struct abi_index *index, struct reasons *reasons);

/* Appends a file. Result: 0, -EPERM with @reasons, -ENOMEM. */
int abi_index_load(const char *path, struct abi_index *index, struct reasons *reasons);

/* How headers are compiled. All borrowed. */
struct abi_compiler {
	const char *cc;                  /* gcc */
	const char *const *flags;        /* NULL-terminated: as for cells, without include paths */
	const char *const *include_dirs; /* NULL-terminated, in search order */
};

/*
 * Appends what every header (*.h, at any depth) under @dirs (NULL-terminated; each is also
 * an include path root) declares. The result is not sorted. @depends, if not NULL, gets one
 * header or folder a line that the result depends on. Runs as many compilers at a time as
 * there are CPUs. Result: 0, -EPERM with @reasons (a header that does not compile by
 * itself, …), -errno.
 */
int abi_index_scan(const struct abi_compiler *compiler, const char *const *dirs,
		   struct abi_index *index, struct buf *depends, struct reasons *reasons);

#endif
