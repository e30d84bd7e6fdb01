/* SPDX-License-Identifier: MIT */
/*
 * Which operations of a C source are unsafe: those with which code can reach memory or a
 * machine that no handle, type or owner gave it. Each rule is decided from the syntax tree
 * that clang makes with the flags of the real compilation; check-test.c has for each what it
 * finds and what it leaves alone.
 *
 *   asm             an asm statement, asm at file scope, and each code line of a .S file
 *   int-to-pointer  a cast from an integer to a pointer, but for a constant 0
 *   pun             a pointer made of other bytes: a pointer member read or written in a union
 *                   that has a member without pointers; memcpy or memmove to the address of
 *                   a pointer from what is not the address of one
 *   device          an access through a pointer to volatile; a call marked `device`
 *   gate            a call marked `gate`
 *   machine         a call marked `machine`: switches stacks, changes per-CPU words
 *   symbol          the attributes section, alias, ifunc and weakref, and asm labels
 *   const-cast      a cast from a pointer to const to a pointer to something not const
 *   function-cast   a cast to or from a pointer to function, between different types
 *   foreign         code without a source: an object or a static library that is packed
 *
 * Marked calls carry CELL_UNSAFE_CALL(kind) (theseus/types.h) in the header that declares them.
 *
 * Where an operation counts. A line counts for the cell in whose own files it is written: the
 * sources, and the headers below the folders of the sources and of its public headers. What an
 * inline function of the SDK or of another cell does counts there. A macro's body counts as one
 * place, in the file that defines it; so what a macro of the SDK expands to is the SDK's. A marked
 * call counts where it is made, also when a foreign macro makes it. The body of an own macro that
 * nobody expands is looked at for `asm` and for a cast of (uintptr_t) to a pointer.
 *
 * What is not seen, being what C does not check anywhere: arithmetic that leaves an object,
 * use after free, void pointers converted to the wrong type, va_arg, wrong lengths.
 */
#ifndef THESEUS_LIB_CHECK_RULES_H
#define THESEUS_LIB_CHECK_RULES_H

#include "base/buf.h"
#include "report.h"

struct check_source {
	const char *path;         /* a .c, .h or .S file */
	const char *const *flags; /* NULL-terminated, of its compilation; GCC's own are dropped */
};

struct check_input {
	const struct check_source *sources;
	size_t n_sources;
	const char *const *dirs;    /* NULL-terminated: own folders beside those of the sources */
	const char *const *foreign; /* NULL-terminated: objects and archives packed as they are */
	const char *root;           /* cut off the front of file names; NULL = they stay */
};

/*
 * Checks the sources of one cell. @depends gets the files that were read, one a line.
 * Result: 0; -EPERM with @reasons ("unchecked": a source that clang cannot read, named with
 * the place); -ENOMEM.
 */
int check_sources(const struct check_input *in, struct safety *ret_safety, struct buf *depends,
		  struct reasons *reasons);

/* Marks in @ret_lines (n_lines flags, malloc'ed) which lines of @text hold code. */
int check_code_lines(const char *text, size_t size, uint8_t **ret_lines, size_t *ret_n_lines);

#endif
