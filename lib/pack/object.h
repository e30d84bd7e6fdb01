/* SPDX-License-Identifier: MIT */
/*
 * An ELF64 x86-64 relocatable object in memory: read from foreign bytes with every offset,
 * size, count and index checked; changed; written again.
 */
#ifndef THESEUS_LIB_PACK_OBJECT_H
#define THESEUS_LIB_PACK_OBJECT_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reasons.h"

#define OBJECT_BYTES_MAX (256u << 20) /* with debug information */

struct object_reloc {
	uint64_t offset;
	uint32_t type;   /* R_X86_64_* */
	uint32_t symbol; /* index into symbols */
	int64_t addend;
};

/*
 * Section 0 and the tables (symbols, strings, relocations) are not listed: the rest keeps
 * its order. Names and data are borrowed from the block that was read, or from whoever set them.
 */
struct object_section {
	const char *name;
	uint32_t type; /* SHT_* */
	uint64_t flags, align, entsize, size;
	const uint8_t *data;         /* NULL for SHT_NOBITS */
	struct object_reloc *relocs; /* owned */
	size_t n_relocs;
};

#define OBJECT_NONE UINT32_MAX

enum object_place {
	OBJECT_DEFINED = 1, /* in a section that is listed */
	OBJECT_UNDEFINED,
	OBJECT_ABSOLUTE,
	OBJECT_COMMON,
};

struct object_symbol {
	const char *name;
	const char *file;   /* name of the source file a local symbol came from, or "" */
	uint8_t bind, type; /* STB_*, STT_* */
	enum object_place place;
	uint32_t section; /* index into sections when it is defined, else OBJECT_NONE */
	uint64_t value, size;
};

struct object {
	struct object_section *sections; /* owned */
	size_t n_sections;
	struct object_symbol *symbols; /* owned; [0] is the empty one */
	size_t n_symbols, cap_symbols;
};

void object_done(struct object *o);

/*
 * Reads foreign bytes, which must outlive @ret_object. Result: 0, -EPERM with @reasons
 * ("bad-object": every text starts with @name), -ENOMEM.
 */
int object_parse(const char *name, const uint8_t *data, size_t size, struct object *ret_object,
		 struct reasons *reasons);

/* Index of the section @name, or OBJECT_NONE. */
uint32_t object_section_find(const struct object *o, const char *name);

/* Appends a copy with an owned copy of its relocations. Result: index, OBJECT_NONE = no memory. */
uint32_t object_section_add(struct object *o, const struct object_section *section);
uint32_t object_symbol_add(struct object *o, const struct object_symbol *symbol);

/*
 * Writes the object to the empty @out: locals must stand before globals. The bytes depend on
 * the object alone. Result: 0, -EINVAL (symbols out of order), -ENOMEM.
 */
int object_write(const struct object *o, struct buf *out);

/* "R_X86_64_PLT32", or NULL for a type that has no name here. */
const char *object_reloc_name(uint32_t type);

#endif
