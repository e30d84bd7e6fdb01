/* SPDX-License-Identifier: MIT */
/*
 * The packer: C objects become one cell, an ET_REL object and its manifest entry.
 *
 * The objects (and what they need of foreign archives) are linked to one; the cell's notes
 * (theseus/cell.h) are turned into the manifest and stripped; what a cell may not contain is
 * refused. The packed object has at most the sections .text, .rodata, .data.rel.ro,
 * .theseus.state (NOBITS while it is all zero; a long tail of zeros is a NOBITS section
 * .theseus.state.zero right behind it), .eh_frame and .gcc_except_table;
 * section symbols, local function symbols (for backtraces), and as globals its exports, its
 * `__provide_*` tables, its imports and `__slot_*`. References inside a section are
 * resolved; GOTPCRELX loads of any symbol become address computations, because all cells lie
 * within reach of a 32-bit displacement.
 *
 * Writable data of foreign archives follows the cell's own state; the schema then covers the
 * archives too. Weak undefined symbols that no header declares are 0: calls of them become
 * traps.
 */
#ifndef THESEUS_LIB_PACK_H
#define THESEUS_LIB_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "abi/index.h"
#include "base/buf.h"
#include "base/reasons.h"
#include "check/report.h"
#include "manifest.pb-c.h"

#define PACK_BUILD_ID_BYTES 20u
#define PACK_STATE_TEXT_MAX 1000u /* bytes of state_type, about */

struct pack_input {
	const char *name;           /* the cell's name must be this; NULL = any */
	const char *const *objects; /* NULL-terminated paths of .o files, in link order */
	/*
	 * NULL-terminated paths of foreign .a files; NULL = none. With any, functions and data
	 * that nothing leads to are dropped (compile with -ffunction-sections -fdata-sections).
	 */
	const char *const *archives;
	const struct abi_index *const *abi; /* NULL-terminated; the first that knows a name wins */
	const struct safety *safety; /* what is in the sources; NULL = nobody looked */
};

struct packed {
	Theseus__Cell *manifest; /* object, size and sha256 are left to the bundle's writer */
	struct buf object;
	struct buf debug; /* the same object with its debug information, for gdb */
};

void packed_done(struct packed *p);

/*
 * Packs one cell. Words of @reasons (all that were found, each naming file, section and
 * symbol): "link-failed", "bad-object", "no-info", "bad-info", "bad-name", "bad-version",
 * "bad-sdk-abi", "two-states", "bad-state", "writable-data", "bad-section",
 * "constructor", "common-symbol", "ifunc", "tls", "bad-relocation", "state-relocation",
 * "bad-export", "undeclared-export", "undeclared-import", "bad-provide", "bad-consume",
 * "not-restartable", "unsafe-operation", "no-reason".
 * Result: 0, -EPERM with @reasons, -ENOMEM, -errno. Runs `ld`.
 */
int pack_cell(const struct pack_input *in, struct packed *ret_packed, struct reasons *reasons);

#endif
