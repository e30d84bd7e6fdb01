/* SPDX-License-Identifier: MIT */
/* For tests: makes objects and bundles in memory, good ones and, by changing bytes, bad ones. */
#ifndef LOADER_TESTING_BUILD_H
#define LOADER_TESTING_BUILD_H

#include <stdint.h>
#include <stdlib.h>

#include "elf64.h"
#include "manifest.pb-c.h"

struct blob {
	uint8_t *p; /* malloc()ed */
	size_t n;
};

#define BUILD_SECTIONS 32
#define BUILD_SYMBOLS 64
#define BUILD_RELAS 512

/* An object being made. Sections and symbols are numbered as they are added, from 1. */
struct build {
	struct elf64_shdr sections[BUILD_SECTIONS];
	const void *data[BUILD_SECTIONS];
	const char *names[BUILD_SECTIONS];
	unsigned n_sections;
	struct elf64_sym symbols[BUILD_SYMBOLS];
	const char *symbol_names[BUILD_SYMBOLS];
	unsigned n_symbols;
	struct {
		unsigned section;
		struct elf64_rela rela;
	} relas[BUILD_RELAS];
	unsigned n_relas;
	/* where build_finish() put what it adds */
	unsigned symtab, strtab, shstrtab, first_rela;
};

void build_init(struct build *b);
/* @data is borrowed until build_finish(); NULL with SHT_NOBITS. */
unsigned build_section(struct build *b, const char *name, uint32_t type, uint64_t flags,
		       const void *data, size_t n, uint64_t align);
/* Local symbols before global ones. Result: index. */
unsigned build_symbol(struct build *b, const char *name, uint16_t section, uint64_t value,
		      uint64_t size, unsigned binding, unsigned type);
void build_rela(struct build *b, unsigned section, uint64_t offset, unsigned symbol, uint32_t type,
		int64_t addend);
/* Layout: header, sections, symtab, strtab, rela sections, shstrtab, section headers. */
struct blob build_finish(struct build *b);

/* Field access in a finished object. */
struct elf64_shdr *build_shdr(struct blob o, unsigned index);

/* ---- bundles ---- */

struct blob build_ar_begin(void);
void build_ar_add(struct blob *ar, const char *name, const void *data, size_t n);

/* A manifest's cell with the hash and size of @object; its lists are the caller's. */
void build_cell(Theseus__Cell *cell, const char *name, const char *version, struct blob object);
/* The archive of a manifest and the objects of its cells, in order. */
struct blob build_bundle(Theseus__Manifest *m, const struct blob *objects);
struct blob build_manifest(const Theseus__Manifest *m);

#endif
