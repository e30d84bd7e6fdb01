/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	const struct object *o;
	struct buf *out;
	struct buf names; /* one table for names of sections and symbols */
	struct buf headers;
	unsigned int n_headers;
};

/* Offset of @name in the table; a name that ends another is not looked for. */
static uint32_t put_name(struct writer *w, const char *name)
{
	size_t at = w->names.len;

	if (!*name)
		return 0;
	buf_put(&w->names, name, strlen(name) + 1);
	return (uint32_t)at;
}

static void put_header(struct writer *w, const Elf64_Shdr *h)
{
	buf_put_le(&w->headers, h->sh_name, 4);
	buf_put_le(&w->headers, h->sh_type, 4);
	buf_put_le(&w->headers, h->sh_flags, 8);
	buf_put_le(&w->headers, 0, 8);
	buf_put_le(&w->headers, h->sh_offset, 8);
	buf_put_le(&w->headers, h->sh_size, 8);
	buf_put_le(&w->headers, h->sh_link, 4);
	buf_put_le(&w->headers, h->sh_info, 4);
	buf_put_le(&w->headers, h->sh_addralign, 8);
	buf_put_le(&w->headers, h->sh_entsize, 8);
	w->n_headers++;
}

static void put_section(struct writer *w, const struct object_section *s)
{
	Elf64_Shdr h = {
		.sh_name = put_name(w, s->name),
		.sh_type = s->type,
		.sh_flags = s->flags,
		.sh_size = s->size,
		.sh_addralign = s->align,
		.sh_entsize = s->entsize,
	};

	/* the file's own alignment is kept small: the loader copies sections to their places */
	buf_align(w->out, s->align < 16 ? s->align : 16);
	h.sh_offset = w->out->len;
	if (s->type != SHT_NOBITS)
		buf_put(w->out, s->data, s->size);
	put_header(w, &h);
}

/* Section index in the file of the @at-th listed section: all come first, after the null one. */
static uint16_t file_index(const struct object_symbol *s)
{
	switch (s->place) {
	case OBJECT_DEFINED:
		return (uint16_t)(s->section + 1);
	case OBJECT_ABSOLUTE:
		return SHN_ABS;
	case OBJECT_COMMON:
		return SHN_COMMON;
	default:
		return SHN_UNDEF;
	}
}

/* Result: index of the first global, or -EINVAL. */
static int64_t put_symbols(struct writer *w)
{
	size_t first = w->o->n_symbols;

	for (size_t i = 0; i < w->o->n_symbols; i++) {
		const struct object_symbol *s = &w->o->symbols[i];

		if (s->bind != STB_LOCAL && first == w->o->n_symbols)
			first = i;
		if (s->bind == STB_LOCAL && i > first)
			return -EINVAL;
		buf_put_le(w->out, put_name(w, s->name), 4);
		buf_put_le(w->out, ELF64_ST_INFO(s->bind, s->type), 1);
		buf_put_le(w->out, STV_DEFAULT, 1);
		buf_put_le(w->out, file_index(s), 2);
		buf_put_le(w->out, s->value, 8);
		buf_put_le(w->out, s->size, 8);
	}
	return (int64_t)first;
}

static void put_relocs(struct writer *w, const struct object_section *s, uint32_t target,
		       uint32_t symtab)
{
	struct buf name = {0};
	Elf64_Shdr h = {
		.sh_type = SHT_RELA,
		.sh_flags = SHF_INFO_LINK,
		.sh_size = s->n_relocs * sizeof(Elf64_Rela),
		.sh_link = symtab,
		.sh_info = target,
		.sh_addralign = 8,
		.sh_entsize = sizeof(Elf64_Rela),
	};

	buf_printf(&name, ".rela%s", s->name);
	w->names.failed |= name.failed;
	h.sh_name = put_name(w, buf_str(&name));
	buf_done(&name);
	buf_align(w->out, 8);
	h.sh_offset = w->out->len;
	for (size_t i = 0; i < s->n_relocs; i++) {
		buf_put_le(w->out, s->relocs[i].offset, 8);
		buf_put_le(w->out, ELF64_R_INFO((uint64_t)s->relocs[i].symbol, s->relocs[i].type),
			   8);
		buf_put_le(w->out, (uint64_t)s->relocs[i].addend, 8);
	}
	put_header(w, &h);
}

static void put_strings(struct writer *w)
{
	Elf64_Shdr h = {.sh_type = SHT_STRTAB, .sh_addralign = 1};

	h.sh_name = put_name(w, ".strtab");
	h.sh_offset = w->out->len;
	h.sh_size = w->names.len;
	buf_put(w->out, w->names.data, w->names.len);
	put_header(w, &h);
}

/* The section table, and the file header that points to it. */
static void put_table(struct writer *w)
{
	Elf64_Ehdr e = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
	};

	buf_align(w->out, 8);
	e.e_shoff = w->out->len;
	e.e_shnum = (uint16_t)w->n_headers;
	e.e_shstrndx = (uint16_t)(w->n_headers - 1); /* the strings come last */
	buf_put(w->out, w->headers.data, w->headers.len);
	w->out->failed |= w->names.failed || w->headers.failed;
	if (buf_ok(w->out))
		memcpy(w->out->data, &e, sizeof(e)); /* x86-64 hosts only: same byte order */
}

/* Order in the file: sections, symbols, relocations, strings, section table. */
int object_write(const struct object *o, struct buf *out)
{
	struct writer w = {.o = o, .out = out};
	uint32_t symtab = (uint32_t)o->n_sections + 1, strtab = symtab + 1;
	Elf64_Shdr null = {0}, h = {.sh_type = SHT_SYMTAB, .sh_addralign = 8};
	int64_t first;

	for (size_t i = 0; i < o->n_sections; i++)
		strtab += o->sections[i].n_relocs ? 1 : 0;
	buf_fill(&w.names, 0, 1);
	buf_fill(out, 0, sizeof(Elf64_Ehdr));
	put_header(&w, &null);
	for (size_t i = 0; i < o->n_sections; i++)
		put_section(&w, &o->sections[i]);
	buf_align(out, 8);
	h.sh_name = put_name(&w, ".symtab");
	h.sh_offset = out->len;
	first = put_symbols(&w);
	h.sh_size = out->len - h.sh_offset;
	h.sh_entsize = sizeof(Elf64_Sym);
	h.sh_link = strtab;
	h.sh_info = first < 0 ? 0 : (uint32_t)first;
	put_header(&w, &h);
	for (size_t i = 0; i < o->n_sections; i++)
		if (o->sections[i].n_relocs)
			put_relocs(&w, &o->sections[i], (uint32_t)i + 1, symtab);
	put_strings(&w);
	put_table(&w);
	buf_done(&w.names);
	buf_done(&w.headers);
	if (first < 0)
		return -EINVAL;
	return buf_ok(out) ? 0 : -ENOMEM;
}
