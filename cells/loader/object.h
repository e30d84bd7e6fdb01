/* SPDX-License-Identifier: MIT */
/*
 * Relocatable objects: ELF64 ET_REL for x86-64, from hostile bytes, without allocation.
 * object_open() checks every offset, size, count, index, alignment and string once; the
 * accessors afterwards only copy records out. Everything borrows the file's bytes.
 */
#ifndef THESEUS_LOADER_OBJECT_H
#define THESEUS_LOADER_OBJECT_H

#include "elf64.h"
#include "report.h"
#include "slice.h"

#define OBJECT_BYTES_MAX (8u << 20)
#define OBJECT_SECTIONS_MAX 1024u
#define OBJECT_SYMBOLS_MAX 65536u

struct object {
	struct slice cell; /* name, for reports */
	struct slice file;
	struct slice headers; /* section header table */
	struct slice names;   /* section names */
	struct slice symbols; /* symbol table; empty when there is none */
	struct slice strings; /* symbol names */
	uint32_t n_sections, n_symbols, first_global;
};

/* @cell names the object in reports. Result: 0, -EINVAL with reasons. */
int object_open(struct slice file, struct slice cell, struct object *ret_object,
		struct loader_report *report);

/* @index < n_sections. */
struct elf64_shdr object_section(const struct object *o, uint32_t index);
struct slice object_section_name(const struct object *o, const struct elf64_shdr *section);
/* Bytes in the file; none for SHT_NOBITS and SHT_NULL. */
struct slice object_section_data(const struct object *o, const struct elf64_shdr *section);

/* @index < n_symbols. */
struct elf64_sym object_symbol(const struct object *o, uint32_t index);
/* The symbol's name, NUL-terminated in place; a section symbol has its section's. */
struct slice object_symbol_name(const struct object *o, const struct elf64_sym *symbol);

/*
 * The one defined global or weak symbol called @name. Result: 0, -ENOENT, -EEXIST (several).
 */
int object_find(const struct object *o, struct slice name, struct elf64_sym *ret_symbol);

static inline uint8_t elf_symbol_type(const struct elf64_sym *s)
{
	return s->info & 0xf;
}

static inline uint8_t elf_symbol_binding(const struct elf64_sym *s)
{
	return s->info >> 4;
}

static inline bool elf_symbol_is_defined(const struct elf64_sym *s)
{
	return s->shndx != SHN_UNDEF && s->shndx < SHN_LORESERVE;
}

#endif
