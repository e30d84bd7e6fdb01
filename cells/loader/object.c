/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <theseus/errno.h>

#define BAD_OBJECT "bad-object"

/* ---- accessors, valid after object_open() ---- */

struct elf64_shdr object_section(const struct object *o, uint32_t index)
{
	struct elf64_shdr s = {0};

	(void)slice_copy(o->headers, (uint64_t)index * sizeof(s), &s, sizeof(s));
	return s;
}

struct slice object_section_name(const struct object *o, const struct elf64_shdr *section)
{
	struct slice name = {o->file.p, 0};

	(void)slice_string(o->names, section->name, &name);
	return name;
}

struct slice object_section_data(const struct object *o, const struct elf64_shdr *section)
{
	struct slice data = {o->file.p, 0};

	if (section->type != SHT_NULL && section->type != SHT_NOBITS)
		(void)slice_sub(o->file, section->offset, section->size, &data);
	return data;
}

struct elf64_sym object_symbol(const struct object *o, uint32_t index)
{
	struct elf64_sym s = {0};

	(void)slice_copy(o->symbols, (uint64_t)index * sizeof(s), &s, sizeof(s));
	return s;
}

struct slice object_symbol_name(const struct object *o, const struct elf64_sym *symbol)
{
	struct slice name = {o->file.p, 0};

	if (elf_symbol_type(symbol) == STT_SECTION && symbol->shndx < o->n_sections) {
		struct elf64_shdr s = object_section(o, symbol->shndx);

		return object_section_name(o, &s);
	}
	(void)slice_string(o->strings, symbol->name, &name);
	return name;
}

int object_find(const struct object *o, struct slice name, struct elf64_sym *ret_symbol)
{
	struct elf64_sym found = {0};
	unsigned n = 0;

	for (uint32_t i = o->first_global; i < o->n_symbols; i++) {
		struct elf64_sym s = object_symbol(o, i);
		struct slice head;

		/* the NUL is compared too, so the string's end need not be searched */
		if (!elf_symbol_is_defined(&s) ||
		    !slice_sub(o->strings, s.name, name.n + 1, &head) || head.p[name.n] != '\0' ||
		    memcmp(head.p, name.p, name.n) != 0)
			continue;
		found = s;
		n++;
	}
	if (n != 1)
		return n ? -EEXIST : -ENOENT;
	*ret_symbol = found;
	return 0;
}

/* ---- checks ---- */

static int refuse(const struct object *o, struct loader_report *report, const char *what)
{
	report_add(report, BAD_OBJECT, "%.*s: %s", SLICE_ARG(o->cell), what);
	return -EINVAL;
}

static int refuse_section(const struct object *o, struct loader_report *report, uint32_t index,
			  const char *what)
{
	struct elf64_shdr s = object_section(o, index);
	struct slice name = object_section_name(o, &s);

	report_add(report, BAD_OBJECT, "%.*s: section %u (%.*s) %s", SLICE_ARG(o->cell), index,
		   SLICE_ARG(name), what);
	return -EINVAL;
}

static int refuse_symbol(const struct object *o, struct loader_report *report, uint32_t index,
			 const char *what)
{
	struct elf64_sym s = object_symbol(o, index);
	struct slice name = object_symbol_name(o, &s);

	report_add(report, BAD_OBJECT, "%.*s: symbol %u (%.*s) %s", SLICE_ARG(o->cell), index,
		   SLICE_ARG(name), what);
	return -EINVAL;
}

static int check_header(struct object *o, struct loader_report *report)
{
	struct elf64_ehdr h;

	if (o->file.n > OBJECT_BYTES_MAX)
		return refuse(o, report, "the object is larger than 8 MiB");
	if (!slice_copy(o->file, 0, &h, sizeof(h)) || memcmp(h.ident, "\177ELF", 4) != 0)
		return refuse(o, report, "the object is not an ELF file");
	if (h.ident[4] != ELF_CLASS64 || h.ident[5] != ELF_DATA_LSB ||
	    h.ident[6] != ELF_VERSION_CURRENT || h.version != ELF_VERSION_CURRENT)
		return refuse(o, report, "the object is not 64-bit little-endian ELF version 1");
	if (h.machine != ELF_MACHINE_X86_64) {
		report_add(report, BAD_OBJECT,
			   "%.*s: the object is for machine %u, not x86-64 (62)",
			   SLICE_ARG(o->cell), h.machine);
		return -EINVAL;
	}
	if (h.type != ELF_TYPE_REL)
		return refuse(o, report, "the object is not relocatable (ET_REL)");
	if (h.ehsize != sizeof(h) || h.shentsize != sizeof(struct elf64_shdr) || h.phnum != 0)
		return refuse(o, report, "the ELF header has wrong sizes");
	if (h.shnum == 0 || h.shnum > OBJECT_SECTIONS_MAX) {
		report_add(report, BAD_OBJECT, "%.*s: %u sections; 1..%u are allowed",
			   SLICE_ARG(o->cell), h.shnum, OBJECT_SECTIONS_MAX);
		return -EINVAL;
	}
	if (h.shoff < sizeof(h) ||
	    !slice_sub(o->file, h.shoff, (uint64_t)h.shnum * sizeof(struct elf64_shdr),
		       &o->headers))
		return refuse(o, report, "the section header table lies outside the file");
	if (h.shstrndx == 0 || h.shstrndx >= h.shnum)
		return refuse(o, report, "the index of the section names is out of range");
	o->n_sections = h.shnum;
	return 0;
}

/* Section names first: every later message uses them. */
static int check_names(struct object *o, struct loader_report *report)
{
	struct elf64_ehdr h;
	struct elf64_shdr s;
	struct slice names;

	(void)slice_copy(o->file, 0, &h, sizeof(h));
	s = object_section(o, h.shstrndx);
	if (s.type != SHT_STRTAB || !slice_sub(o->file, s.offset, s.size, &names) || names.n == 0 ||
	    names.p[names.n - 1] != '\0')
		return refuse(o, report,
			      "the section names are not a string table inside the file");
	o->names = names;
	for (uint32_t i = 0; i < o->n_sections; i++) {
		s = object_section(o, i);
		if (s.name >= names.n)
			return refuse_section(o, report, i, "has a name outside the string table");
	}
	return 0;
}

static bool is_known_type(const struct elf64_shdr *s)
{
	switch (s->type) {
	case SHT_PROGBITS:
	case SHT_NOBITS:
	case SHT_NOTE:
	case SHT_X86_64_UNWIND:
		return true;
	case SHT_INIT_ARRAY:
	case SHT_FINI_ARRAY:
	case SHT_PREINIT_ARRAY:
		return s->size == 0; /* nobody would call the constructors */
	default:
		return !(s->flags & SHF_ALLOC) && s->type != SHT_SYMTAB_SHNDX;
	}
}

static int check_section(const struct object *o, uint32_t i, struct loader_report *report)
{
	struct elf64_shdr s = object_section(o, i);
	struct slice data;

	if (i == 0)
		return s.type == SHT_NULL ? 0
					  : refuse_section(o, report, i, "is not the null section");
	if (!is_known_type(&s))
		return refuse_section(o, report, i, "has a type that cells may not have");
	if (s.type != SHT_NULL && s.type != SHT_NOBITS &&
	    !slice_sub(o->file, s.offset, s.size, &data))
		return refuse_section(o, report, i, "lies outside the file");
	if (s.addralign > 4096 || (s.addralign & (s.addralign - 1)))
		return refuse_section(o, report, i,
				      "has an alignment that is no power of two up to 4096");
	if (!(s.flags & SHF_ALLOC))
		return 0;
	if (s.size > OBJECT_BYTES_MAX)
		return refuse_section(o, report, i, "is larger than 8 MiB");
	if (s.flags & SHF_TLS)
		return refuse_section(o, report, i, "is thread-local: cells have no TLS");
	if (s.flags & SHF_COMPRESSED)
		return refuse_section(o, report, i, "is compressed");
	if ((s.flags & SHF_WRITE) && (s.flags & SHF_EXECINSTR))
		return refuse_section(o, report, i, "is writable and executable");
	if (s.type == SHT_NOBITS && (s.flags & SHF_EXECINSTR))
		return refuse_section(o, report, i, "is text without bytes");
	if (s.addr != 0)
		return refuse_section(o, report, i, "has an address");
	return 0;
}

struct extent {
	uint64_t start, end;
};

static struct extent extent_of(const struct object *o, uint32_t i)
{
	struct elf64_shdr s = object_section(o, i);

	if (s.type == SHT_NULL || s.type == SHT_NOBITS || s.size == 0)
		return (struct extent){0, 0};
	return (struct extent){s.offset, s.offset + s.size};
}

static bool overlap(struct extent a, struct extent b)
{
	return a.start < b.end && b.start < a.end;
}

/* No two sections, nor a section and the headers, share bytes of the file. */
static int check_overlaps(const struct object *o, struct loader_report *report)
{
	uint64_t table = (uint64_t)(o->headers.p - o->file.p);
	struct extent header = {0, sizeof(struct elf64_ehdr)};
	struct extent headers = {table, table + o->headers.n};

	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct extent e = extent_of(o, i);

		if (overlap(e, header) || overlap(e, headers))
			return refuse_section(o, report, i, "overlaps the ELF headers");
		for (uint32_t j = 1; j < i && e.end; j++) {
			if (overlap(e, extent_of(o, j)))
				return refuse_section(o, report, i,
						      "overlaps another section in the file");
		}
	}
	return 0;
}

static int check_symbol_table(struct object *o, uint32_t index, struct loader_report *report)
{
	struct elf64_shdr s = object_section(o, index), strings;

	if (o->symbols.n)
		return refuse_section(o, report, index, "is a second symbol table");
	if (s.entsize != sizeof(struct elf64_sym) || s.size % s.entsize || s.size == 0)
		return refuse_section(o, report, index, "is no array of symbols");
	if (s.size / s.entsize > OBJECT_SYMBOLS_MAX) {
		report_add(report, BAD_OBJECT, "%.*s: %lu symbols; %u are allowed",
			   SLICE_ARG(o->cell), s.size / s.entsize, OBJECT_SYMBOLS_MAX);
		return -EINVAL;
	}
	if (s.link == 0 || s.link >= o->n_sections)
		return refuse_section(o, report, index, "links to no string table");
	strings = object_section(o, s.link);
	o->strings = object_section_data(o, &strings);
	if (strings.type != SHT_STRTAB || o->strings.n == 0 ||
	    o->strings.p[o->strings.n - 1] != '\0')
		return refuse_section(o, report, index, "links to no terminated string table");
	if (s.info == 0 || s.info > s.size / s.entsize)
		return refuse_section(o, report, index, "has a first global symbol out of range");
	o->symbols = object_section_data(o, &s);
	o->n_symbols = (uint32_t)(s.size / s.entsize);
	o->first_global = s.info;
	return 0;
}

static int check_symbol_place(const struct object *o, uint32_t i, const struct elf64_sym *s,
			      struct loader_report *report)
{
	struct elf64_shdr section;

	if (s->shndx == SHN_UNDEF || s->shndx == SHN_ABS)
		return 0;
	if (s->shndx == SHN_COMMON || elf_symbol_type(s) == STT_COMMON)
		return refuse_symbol(o, report, i, "is common: build with -fno-common");
	if (s->shndx >= o->n_sections)
		return refuse_symbol(o, report, i, "has a section index out of range");
	section = object_section(o, s->shndx);
	if (s->value > section.size || s->size > section.size - s->value)
		return refuse_symbol(o, report, i, "lies outside its section");
	return 0;
}

static int check_symbol(const struct object *o, uint32_t i, struct loader_report *report)
{
	struct elf64_sym s = object_symbol(o, i);
	uint8_t type = elf_symbol_type(&s), binding = elf_symbol_binding(&s);

	if (s.name >= o->strings.n)
		return refuse_symbol(o, report, i, "has a name outside the string table");
	if (type == STT_GNU_IFUNC)
		return refuse_symbol(o, report, i, "is an IFUNC");
	if (type == STT_TLS)
		return refuse_symbol(o, report, i, "is thread-local: cells have no TLS");
	if (type > STT_COMMON || binding > STB_WEAK)
		return refuse_symbol(o, report, i, "has an unknown type or binding");
	if ((binding == STB_LOCAL) != (i < o->first_global))
		return refuse_symbol(o, report, i,
				     "is on the wrong side of the first global symbol");
	return check_symbol_place(o, i, &s, report);
}

/* Bytes that a relocation changes; 0 for a type that cells may not have. */
static unsigned relocation_width(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_PC64:
		return 8;
	case R_X86_64_NONE: /* refused or skipped later, by name */
		return 0;
	default:
		return 4;
	}
}

static int check_relocations(const struct object *o, uint32_t index, struct loader_report *report)
{
	struct elf64_shdr s = object_section(o, index), target;
	struct slice data = object_section_data(o, &s);
	struct elf64_rela r;

	if (s.entsize != sizeof(r) || s.size % sizeof(r))
		return refuse_section(o, report, index, "is no array of relocations");
	if (s.info == 0 || s.info >= o->n_sections)
		return refuse_section(o, report, index, "relocates a section out of range");
	target = object_section(o, s.info);
	if (!(target.flags & SHF_ALLOC))
		return 0;
	if (target.type == SHT_NOBITS)
		return refuse_section(o, report, index, "relocates a section without bytes");
	if (s.link >= o->n_sections || object_section(o, s.link).type != SHT_SYMTAB)
		return refuse_section(o, report, index, "links to no symbol table");
	for (uint64_t at = 0; slice_copy(data, at, &r, sizeof(r)); at += sizeof(r)) {
		if (r.info >> 32 >= o->n_symbols)
			return refuse_section(o, report, index, "names a symbol out of range");
		if (r.offset > target.size ||
		    relocation_width((uint32_t)r.info) > target.size - r.offset)
			return refuse_section(o, report, index,
					      "relocates bytes outside its section");
	}
	return 0;
}

static int check_tables(struct object *o, struct loader_report *report)
{
	int r = 0;

	for (uint32_t i = 1; i < o->n_sections && r == 0; i++) {
		if (object_section(o, i).type == SHT_SYMTAB)
			r = check_symbol_table(o, i, report);
	}
	for (uint32_t i = 1; i < o->n_symbols && r == 0; i++)
		r = check_symbol(o, i, report);
	for (uint32_t i = 1; i < o->n_sections && r == 0; i++) {
		struct elf64_shdr s = object_section(o, i);

		if (s.type == SHT_RELA)
			r = check_relocations(o, i, report);
		else if (s.type == SHT_REL)
			r = refuse_section(o, report, i, "has relocations without addends");
	}
	return r;
}

int object_open(struct slice file, struct slice cell, struct object *ret_object,
		struct loader_report *report)
{
	struct object o = {.cell = cell,
			   .file = file,
			   .names = {file.p, 0},
			   .symbols = {file.p, 0},
			   .strings = {file.p, 0}};
	int r = check_header(&o, report);

	if (r == 0)
		r = check_names(&o, report);
	for (uint32_t i = 0; i < o.n_sections && r == 0; i++)
		r = check_section(&o, i, report);
	if (r == 0)
		r = check_overlaps(&o, report);
	if (r == 0)
		r = check_tables(&o, report);
	if (r < 0)
		return r;
	*ret_object = o;
	return 0;
}
