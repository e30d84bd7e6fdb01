/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

/* What a raw section header says, bounds of its content checked. */
struct raw_section {
	uint32_t name, type, link, info;
	uint64_t flags, offset, size, align, entsize;
	uint32_t index; /* among the listed sections, or OBJECT_NONE */
};

struct reader {
	const char *name;
	const uint8_t *data;
	size_t size;
	struct raw_section *raw;
	size_t n_raw;
	uint32_t names, symtab; /* section indices; 0 = none */
	struct object *object;
	struct reasons *reasons;
};

void object_done(struct object *o)
{
	for (size_t i = 0; i < o->n_sections; i++)
		free(o->sections[i].relocs);
	free(o->sections);
	free(o->symbols);
	*o = (struct object){0};
}

#define bad(r, ...) reasons_add((r)->reasons, "bad-object", __VA_ARGS__)

static int read_header(struct reader *r, uint64_t *ret_shoff)
{
	Elf64_Ehdr h;

	if (r->size < sizeof(h))
		return bad(r, "%s: not an ELF object: %zu bytes", r->name, r->size);
	memcpy(&h, r->data, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
		return bad(r, "%s: not an ELF object", r->name);
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_machine != EM_X86_64)
		return bad(r, "%s: an object of another machine (class %u, machine %u)", r->name,
			   h.e_ident[EI_CLASS], h.e_machine);
	if (h.e_type != ET_REL || h.e_version != EV_CURRENT || h.e_ident[EI_VERSION] != EV_CURRENT)
		return bad(r, "%s: not a relocatable object (type %u)", r->name, h.e_type);
	if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum == 0 || h.e_shstrndx >= h.e_shnum)
		return bad(r, "%s: the section table is broken", r->name);
	r->n_raw = h.e_shnum;
	r->names = h.e_shstrndx;
	*ret_shoff = h.e_shoff;
	return 0;
}

static int read_section(struct reader *r, struct cursor *c, struct raw_section *s, size_t at)
{
	*s = (struct raw_section){.index = OBJECT_NONE};
	s->name = (uint32_t)cursor_le(c, 4);
	s->type = (uint32_t)cursor_le(c, 4);
	s->flags = cursor_le(c, 8);
	(void)cursor_le(c, 8); /* address: without meaning in ET_REL */
	s->offset = cursor_le(c, 8);
	s->size = cursor_le(c, 8);
	s->link = (uint32_t)cursor_le(c, 4);
	s->info = (uint32_t)cursor_le(c, 4);
	s->align = cursor_le(c, 8);
	s->entsize = cursor_le(c, 8);
	if (c->bad)
		return bad(r, "%s: the section table lies outside the file", r->name);
	if (s->type == SHT_NULL)
		s->size = 0;
	if (s->type != SHT_NOBITS && cursor_at(r->data, r->size, s->offset, s->size).bad)
		return bad(r, "%s: section %zu lies outside the file", r->name, at);
	if (s->align & (s->align - 1))
		return bad(r, "%s: section %zu has an alignment that is no power of two", r->name,
			   at);
	return 0;
}

static int read_sections(struct reader *r, uint64_t shoff)
{
	struct cursor c = cursor_at(r->data, r->size, shoff, r->n_raw * sizeof(Elf64_Shdr));

	r->raw = calloc(r->n_raw, sizeof(*r->raw));
	if (!r->raw)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_raw; i++) {
		int e = read_section(r, &c, &r->raw[i], i);

		if (e < 0)
			return e;
		if (r->raw[i].type == SHT_SYMTAB && r->symtab)
			return bad(r, "%s: two symbol tables", r->name);
		if (r->raw[i].type == SHT_SYMTAB)
			r->symtab = (uint32_t)i;
		if (r->raw[i].type == SHT_SYMTAB_SHNDX)
			return bad(r, "%s: more sections than can be numbered", r->name);
	}
	return 0;
}

/* A NUL-terminated string in the table @section; NULL when it is not inside. */
static const char *string_at(const struct reader *r, uint32_t section, uint32_t offset)
{
	const struct raw_section *s = section < r->n_raw ? &r->raw[section] : NULL;
	const char *start;

	if (!s || s->type != SHT_STRTAB || offset >= s->size)
		return NULL;
	start = (const char *)r->data + s->offset + offset;
	return memchr(start, 0, s->size - offset) ? start : NULL;
}

static bool is_table(const struct reader *r, size_t at)
{
	switch (r->raw[at].type) {
	case SHT_NULL:
	case SHT_SYMTAB:
	case SHT_STRTAB:
	case SHT_RELA:
	case SHT_REL:
	case SHT_GROUP:
		return true;
	default:
		return false;
	}
}

static int list_sections(struct reader *r)
{
	struct object *o = r->object;

	o->sections = calloc(r->n_raw, sizeof(*o->sections));
	if (!o->sections)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_raw; i++) {
		struct raw_section *s = &r->raw[i];
		const char *name;

		if (is_table(r, i))
			continue;
		name = string_at(r, r->names, s->name);
		if (!name)
			return bad(r, "%s: section %zu has no proper name", r->name, i);
		s->index = (uint32_t)o->n_sections;
		o->sections[o->n_sections++] = (struct object_section){
			.name = name,
			.type = s->type,
			.flags = s->flags,
			.align = s->align ? s->align : 1,
			.entsize = s->entsize,
			.size = s->size,
			.data = s->type == SHT_NOBITS ? NULL : r->data + s->offset,
		};
	}
	return 0;
}

/* Where a symbol of section index @shndx lies. */
static int place_symbol(struct reader *r, struct object_symbol *s, uint16_t shndx, size_t at)
{
	s->section = OBJECT_NONE;
	if (shndx == SHN_UNDEF) {
		s->place = OBJECT_UNDEFINED;
	} else if (shndx == SHN_ABS) {
		s->place = OBJECT_ABSOLUTE;
	} else if (shndx == SHN_COMMON) {
		s->place = OBJECT_COMMON;
	} else if (shndx >= r->n_raw) {
		return bad(r, "%s: symbol %zu names section %u of %zu", r->name, at, shndx,
			   r->n_raw);
	} else {
		s->place = r->raw[shndx].index == OBJECT_NONE ? OBJECT_ABSOLUTE : OBJECT_DEFINED;
		s->section = r->raw[shndx].index;
	}
	return 0;
}

static int read_symbol(struct reader *r, struct cursor *c, const char **file, size_t at)
{
	struct object_symbol *s = &r->object->symbols[at];
	const struct raw_section *table = &r->raw[r->symtab];
	uint32_t name = (uint32_t)cursor_le(c, 4);
	uint8_t info = (uint8_t)cursor_le(c, 1);
	uint16_t shndx;

	(void)cursor_le(c, 1); /* visibility has no meaning between cells */
	shndx = (uint16_t)cursor_le(c, 2);
	s->value = cursor_le(c, 8);
	s->size = cursor_le(c, 8);
	s->bind = ELF64_ST_BIND(info);
	s->type = ELF64_ST_TYPE(info);
	s->name = string_at(r, table->link, name);
	s->file = s->bind == STB_LOCAL ? *file : "";
	if (c->bad)
		return bad(r, "%s: the symbol table is cut short", r->name);
	if (!s->name)
		return bad(r, "%s: symbol %zu has no proper name", r->name, at);
	if (s->type == STT_FILE)
		*file = s->name;
	return place_symbol(r, s, shndx, at);
}

static int read_symbols(struct reader *r)
{
	const struct raw_section *s = &r->raw[r->symtab];
	const char *file = "";
	struct cursor c;
	size_t n;

	r->object->symbols = calloc(1, sizeof(struct object_symbol));
	if (!r->object->symbols)
		return -ENOMEM;
	r->object->symbols[0] = (struct object_symbol){
		.name = "", .file = "", .place = OBJECT_UNDEFINED, .section = OBJECT_NONE};
	r->object->n_symbols = r->object->cap_symbols = 1;
	if (!r->symtab)
		return 0;
	n = s->size / sizeof(Elf64_Sym);
	if (s->entsize != sizeof(Elf64_Sym) || n == 0 || s->size % sizeof(Elf64_Sym))
		return bad(r, "%s: the symbol table is broken", r->name);
	free(r->object->symbols);
	r->object->symbols = calloc(n, sizeof(struct object_symbol));
	if (!r->object->symbols)
		return -ENOMEM;
	r->object->n_symbols = r->object->cap_symbols = n;
	c = cursor_at(r->data, r->size, s->offset, s->size);
	for (size_t i = 0; i < n; i++) {
		int e = read_symbol(r, &c, &file, i);

		if (e < 0)
			return e;
	}
	return 0;
}

static int read_relocs(struct reader *r, const struct raw_section *s, size_t at)
{
	struct cursor c = cursor_at(r->data, r->size, s->offset, s->size);
	size_t n = s->size / sizeof(Elf64_Rela);
	struct object_section *target;

	if (s->entsize != sizeof(Elf64_Rela) || s->size % sizeof(Elf64_Rela) ||
	    s->link != r->symtab || s->info >= r->n_raw || r->raw[s->info].index == OBJECT_NONE)
		return bad(r, "%s: relocation section %zu is broken", r->name, at);
	target = &r->object->sections[r->raw[s->info].index];
	if (target->relocs)
		return bad(r, "%s: section '%s' has two tables of relocations", r->name,
			   target->name);
	target->relocs = calloc(n ? n : 1, sizeof(*target->relocs));
	if (!target->relocs)
		return -ENOMEM;
	target->n_relocs = n;
	for (size_t i = 0; i < n; i++) {
		struct object_reloc *rel = &target->relocs[i];
		uint64_t info;

		rel->offset = cursor_le(&c, 8);
		info = cursor_le(&c, 8);
		rel->addend = (int64_t)cursor_le(&c, 8);
		rel->type = ELF64_R_TYPE(info);
		rel->symbol = (uint32_t)ELF64_R_SYM(info);
		if (rel->symbol >= r->object->n_symbols)
			return bad(r, "%s: relocation %zu of '%s' names symbol %u of %zu", r->name,
				   i, target->name, rel->symbol, r->object->n_symbols);
		if (rel->offset >= target->size)
			return bad(r, "%s: relocation %zu of '%s' lies outside of it", r->name, i,
				   target->name);
	}
	return 0;
}

static int read_all(struct reader *r)
{
	uint64_t shoff = 0;
	int e = read_header(r, &shoff);

	if (e == 0)
		e = read_sections(r, shoff);
	if (e == 0)
		e = list_sections(r);
	if (e == 0)
		e = read_symbols(r);
	for (size_t i = 0; e == 0 && i < r->n_raw; i++) {
		if (r->raw[i].type == SHT_REL)
			e = bad(r, "%s: relocations without addends", r->name);
		else if (r->raw[i].type == SHT_RELA)
			e = read_relocs(r, &r->raw[i], i);
	}
	return e;
}

int object_parse(const char *name, const uint8_t *data, size_t size, struct object *ret_object,
		 struct reasons *reasons)
{
	struct object o = {0};
	struct reader r = {
		.name = name, .data = data, .size = size, .object = &o, .reasons = reasons};
	int e = read_all(&r);

	free(r.raw);
	if (e < 0) {
		object_done(&o);
		return e;
	}
	*ret_object = o;
	return 0;
}

uint32_t object_section_find(const struct object *o, const char *name)
{
	for (size_t i = 0; i < o->n_sections; i++)
		if (strcmp(o->sections[i].name, name) == 0)
			return (uint32_t)i;
	return OBJECT_NONE;
}

uint32_t object_section_add(struct object *o, const struct object_section *section)
{
	struct object_section *more = reallocarray(o->sections, o->n_sections + 1, sizeof(*more));
	struct object_section s = *section;

	if (!more)
		return OBJECT_NONE;
	o->sections = more;
	s.relocs = calloc(s.n_relocs ? s.n_relocs : 1, sizeof(*s.relocs));
	if (!s.relocs)
		return OBJECT_NONE;
	if (s.n_relocs)
		memcpy(s.relocs, section->relocs, s.n_relocs * sizeof(*s.relocs));
	o->sections[o->n_sections] = s;
	return (uint32_t)o->n_sections++;
}

uint32_t object_symbol_add(struct object *o, const struct object_symbol *symbol)
{
	const struct object_symbol s = *symbol; /* it may be one of the object's own */

	if (o->n_symbols == o->cap_symbols) {
		size_t cap = o->cap_symbols ? o->cap_symbols * 2 : 32;
		struct object_symbol *more = reallocarray(o->symbols, cap, sizeof(*more));

		if (!more)
			return OBJECT_NONE;
		o->symbols = more;
		o->cap_symbols = cap;
	}
	o->symbols[o->n_symbols] = s;
	return (uint32_t)o->n_symbols++;
}

const char *object_reloc_name(uint32_t type)
{
	static const char *const names[] = {
		[R_X86_64_NONE] = "R_X86_64_NONE",
		[R_X86_64_64] = "R_X86_64_64",
		[R_X86_64_PC32] = "R_X86_64_PC32",
		[R_X86_64_GOT32] = "R_X86_64_GOT32",
		[R_X86_64_PLT32] = "R_X86_64_PLT32",
		[R_X86_64_GOTPCREL] = "R_X86_64_GOTPCREL",
		[R_X86_64_32] = "R_X86_64_32",
		[R_X86_64_32S] = "R_X86_64_32S",
		[R_X86_64_16] = "R_X86_64_16",
		[R_X86_64_PC16] = "R_X86_64_PC16",
		[R_X86_64_8] = "R_X86_64_8",
		[R_X86_64_PC8] = "R_X86_64_PC8",
		[R_X86_64_DTPMOD64] = "R_X86_64_DTPMOD64",
		[R_X86_64_DTPOFF64] = "R_X86_64_DTPOFF64",
		[R_X86_64_TPOFF64] = "R_X86_64_TPOFF64",
		[R_X86_64_TLSGD] = "R_X86_64_TLSGD",
		[R_X86_64_TLSLD] = "R_X86_64_TLSLD",
		[R_X86_64_DTPOFF32] = "R_X86_64_DTPOFF32",
		[R_X86_64_GOTTPOFF] = "R_X86_64_GOTTPOFF",
		[R_X86_64_TPOFF32] = "R_X86_64_TPOFF32",
		[R_X86_64_PC64] = "R_X86_64_PC64",
		[R_X86_64_GOTOFF64] = "R_X86_64_GOTOFF64",
		[R_X86_64_GOTPC32] = "R_X86_64_GOTPC32",
		[R_X86_64_GOTPC32_TLSDESC] = "R_X86_64_GOTPC32_TLSDESC",
		[R_X86_64_TLSDESC_CALL] = "R_X86_64_TLSDESC_CALL",
		[R_X86_64_TLSDESC] = "R_X86_64_TLSDESC",
		[R_X86_64_GOTPCRELX] = "R_X86_64_GOTPCRELX",
		[R_X86_64_REX_GOTPCRELX] = "R_X86_64_REX_GOTPCRELX",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}
