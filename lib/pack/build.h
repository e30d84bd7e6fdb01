/* SPDX-License-Identifier: MIT */
/*
 * From C files to a packed cell, outside the project's own build: with an SDK, that is the
 * headers of the system a cell is for, the index of their types, and the compiler's flags.
 *
 * An SDK is named by its description, a text file; paths in it are relative to it:
 *   include DIR    a folder of headers, in search order; at least one
 *   abi FILE       the ABI index of those headers
 *   flag FLAG      one argument for the compiler
 *   example DIR    the cell that `theseusctl cell new` copies
 */
#ifndef THESEUS_LIB_PACK_BUILD_H
#define THESEUS_LIB_PACK_BUILD_H

#include "pack.h"

struct sdk {
	char **includes; /* NULL-terminated */
	char **flags;    /* NULL-terminated */
	char *example;   /* NULL: it has none */
	struct abi_index abi;
};

void sdk_done(struct sdk *sdk);

/* Result: 0, -EPERM with @reasons ("bad-sdk", "bad-abi-index"), -ENOMEM. */
int sdk_load(const char *path, struct sdk *ret_sdk, struct reasons *reasons);

struct build_input {
	const struct sdk *sdk;
	const char *cc; /* "gcc"; nothing else writes the types */
	const char *checker; /* path of theseus-cellcheck */
	/*
	 * NULL-terminated: .c files; .o and .a files; folders, whose *.c files are meant but
	 * for tests (*-test.c), and whose include/ holds the cell's own public headers.
	 */
	const char *const *sources;
	const char *define;   /* one macro, "NAME" or "NAME=VALUE"; NULL = none */
	struct buf *warnings; /* gets what the compiler said although it succeeded */
};

/*
 * Compiles and packs. Words of @reasons beside those of pack_cell(): "no-source",
 * "no-compiler", "compile-failed", "no-checker", and those of safety_read(). Result: 0, -EPERM with @reasons, -ENOMEM, -errno.
 */
int build_cell(const struct build_input *in, struct packed *ret_packed, struct reasons *reasons);

#endif
