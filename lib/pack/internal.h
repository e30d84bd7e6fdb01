/* SPDX-License-Identifier: MIT */
/* What the steps of the packer share. */
#ifndef THESEUS_LIB_PACK_INTERNAL_H
#define THESEUS_LIB_PACK_INTERNAL_H

#include "object.h"
#include "pack.h"

/* One of the objects that were handed in. */
struct pack_file {
	const char *path; /* for messages: the source file where the object names it */
	uint8_t *data;
	size_t size;
	struct object object;
};

struct pack {
	const struct pack_input *in;
	struct reasons *reasons;
	struct pack_file *files;
	size_t n_files;

	uint8_t *linked_data;
	struct object linked; /* all of it in one object */
	Theseus__Cell *cell;

	struct object out;  /* the packed object */
	uint8_t **contents; /* owned copies of the sections of `out`, which relocation changes */
};

/* The sections of a packed object, in order. */
enum pack_section {
	PACK_TEXT,
	PACK_RODATA,
	PACK_RELRO,
	PACK_STATE,
	PACK_EH_FRAME,
	PACK_EXCEPT_TABLE,
	_PACK_SECTION_MAX,
	_PACK_SECTION_INVALID = -22,
};

#define PACK_STATE_TAIL ".theseus.state.zero"

extern const char *const pack_section_names[_PACK_SECTION_MAX];

/* Which of them @name is, or _PACK_SECTION_INVALID. */
enum pack_section pack_section_of(const char *name);

/* link.c: fills files, linked_data, linked. */
int pack_link(struct pack *p);

/* check.c: everything that the linked object must not contain. */
int pack_check(struct pack *p);

/* Path of the object that defines the global @name, "" when none of those handed in does. */
const char *pack_definer(const struct pack *p, const struct object_symbol *s);

/* An undefined symbol that is 0 for good: weak, and declared in no header. */
bool pack_resolves_to_zero(const struct pack *p, const struct object_symbol *s);

/* Whether the loader makes the symbol: __slot_*. */
bool pack_is_slot(const char *name);

/* notes.c: fills cell, but for imports, build_id and the writer's fields. */
int pack_notes(struct pack *p);

/* safety.c: the report and the reason into cell; refuses what .safety does not allow. */
struct cell_info;
int pack_safety(struct pack *p, const struct cell_info *info);

/* state.c: the state's schema, type and size into cell. */
int pack_state(struct pack *p);

/* emit.c: fills out, and the cell's imports. */
int pack_emit(struct pack *p);

/* In the indices handed in; NULL when no header declares it. */
const struct abi_entry *pack_declared(const struct pack *p, enum abi_kind kind, const char *name);

#endif
