/* SPDX-License-Identifier: MIT */
#include "build.h"

#include <stdio.h>
#include <string.h>

#include <theseus/cell.h>

#include "sha256.h"

static void *xrealloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	if (!p)
		abort();
	return p;
}

static size_t append(struct blob *b, const void *data, size_t n)
{
	size_t at = b->n;

	b->p = xrealloc(b->p, b->n + n);
	if (n && data)
		memcpy(b->p + at, data, n);
	else if (n)
		memset(b->p + at, 0, n);
	b->n += n;
	return at;
}

static void align(struct blob *b, size_t to)
{
	while (b->n % to)
		append(b, NULL, 1);
}

void build_init(struct build *b)
{
	memset(b, 0, sizeof(*b));
	b->n_sections = 1;
	b->n_symbols = 1;
	b->names[0] = "";
	b->symbol_names[0] = "";
}

unsigned build_section(struct build *b, const char *name, uint32_t type, uint64_t flags,
		       const void *data, size_t n, uint64_t alignment)
{
	unsigned i = b->n_sections++;

	if (i >= BUILD_SECTIONS)
		abort();
	b->names[i] = name;
	b->data[i] = data;
	b->sections[i] = (struct elf64_shdr){
		.type = type, .flags = flags, .size = n, .addralign = alignment};
	return i;
}

unsigned build_symbol(struct build *b, const char *name, uint16_t section, uint64_t value,
		      uint64_t size, unsigned binding, unsigned type)
{
	unsigned i = b->n_symbols++;

	if (i >= BUILD_SYMBOLS)
		abort();
	b->symbol_names[i] = name;
	b->symbols[i] = (struct elf64_sym){.info = (uint8_t)(binding << 4 | type),
					   .shndx = section,
					   .value = value,
					   .size = size};
	return i;
}

void build_rela(struct build *b, unsigned section, uint64_t offset, unsigned symbol, uint32_t type,
		int64_t addend)
{
	unsigned i = b->n_relas++;

	if (i >= BUILD_RELAS)
		abort();
	b->relas[i].section = section;
	b->relas[i].rela = (struct elf64_rela){offset, (uint64_t)symbol << 32 | type, addend};
}

static void add_symtab(struct build *b, struct blob *o)
{
	struct blob strings = {0};
	unsigned first_global = b->n_symbols;

	append(&strings, "", 1);
	for (unsigned i = 1; i < b->n_symbols; i++) {
		const char *name = b->symbol_names[i];

		b->symbols[i].name = *name ? (uint32_t)append(&strings, name, strlen(name) + 1) : 0;
		if (b->symbols[i].info >> 4 != STB_LOCAL && first_global == b->n_symbols)
			first_global = i;
	}
	b->symtab = build_section(b, ".symtab", SHT_SYMTAB, 0, NULL, 0, 8);
	b->strtab = build_section(b, ".strtab", SHT_STRTAB, 0, NULL, 0, 1);
	align(o, 8);
	b->sections[b->symtab].offset = append(o, b->symbols, b->n_symbols * sizeof(b->symbols[0]));
	b->sections[b->symtab].size = b->n_symbols * sizeof(b->symbols[0]);
	b->sections[b->symtab].entsize = sizeof(b->symbols[0]);
	b->sections[b->symtab].link = b->strtab;
	b->sections[b->symtab].info = first_global;
	b->sections[b->strtab].offset = append(o, strings.p, strings.n);
	b->sections[b->strtab].size = strings.n;
	free(strings.p);
}

static void add_relas(struct build *b, struct blob *o)
{
	unsigned n = b->n_sections;

	b->first_rela = n;
	for (unsigned target = 1; target < n; target++) {
		struct elf64_shdr s = {.type = SHT_RELA,
				       .addralign = 8,
				       .entsize = 24,
				       .link = b->symtab,
				       .info = target};
		unsigned i;

		align(o, 8);
		s.offset = o->n;
		for (unsigned j = 0; j < b->n_relas; j++) {
			if (b->relas[j].section == target)
				append(o, &b->relas[j].rela, sizeof(b->relas[j].rela));
		}
		s.size = o->n - s.offset;
		if (s.size == 0)
			continue;
		i = build_section(b, ".rela", SHT_RELA, 0, NULL, 0, 8);
		b->sections[i] = s;
	}
}

static void add_section_names(struct build *b, struct blob *o)
{
	struct blob names = {0};

	b->shstrtab = build_section(b, ".shstrtab", SHT_STRTAB, 0, NULL, 0, 1);
	for (unsigned i = 0; i < b->n_sections; i++)
		b->sections[i].name =
			(uint32_t)append(&names, b->names[i], strlen(b->names[i]) + 1);
	b->sections[b->shstrtab].offset = append(o, names.p, names.n);
	b->sections[b->shstrtab].size = names.n;
	free(names.p);
}

struct blob build_finish(struct build *b)
{
	struct elf64_ehdr h = {
		.ident = {0x7f, 'E', 'L', 'F', ELF_CLASS64, ELF_DATA_LSB, ELF_VERSION_CURRENT},
		.type = ELF_TYPE_REL,
		.machine = ELF_MACHINE_X86_64,
		.version = ELF_VERSION_CURRENT,
		.ehsize = sizeof(h),
		.shentsize = sizeof(struct elf64_shdr),
	};
	struct blob o = {0};

	append(&o, &h, sizeof(h));
	for (unsigned i = 1; i < b->n_sections; i++) {
		align(&o, 16);
		b->sections[i].offset = o.n;
		if (b->sections[i].type != SHT_NOBITS)
			append(&o, b->data[i], b->sections[i].size);
	}
	add_symtab(b, &o);
	add_relas(b, &o);
	add_section_names(b, &o);
	align(&o, 8);
	h.shoff = append(&o, b->sections, b->n_sections * sizeof(b->sections[0]));
	h.shnum = (uint16_t)b->n_sections;
	h.shstrndx = (uint16_t)b->shstrtab;
	memcpy(o.p, &h, sizeof(h));
	return o;
}

struct elf64_shdr *build_shdr(struct blob o, unsigned index)
{
	const struct elf64_ehdr *h = (const void *)o.p;

	return (struct elf64_shdr *)(void *)(o.p + h->shoff) + index;
}

/* ---- bundles ---- */

struct blob build_ar_begin(void)
{
	struct blob ar = {0};

	append(&ar, "!<arch>\n", 8);
	return ar;
}

void build_ar_add(struct blob *ar, const char *name, const void *data, size_t n)
{
	char header[61];

	snprintf(header, sizeof(header), "%-16s%-12s%-6s%-6s%-8s%-10zu`\n", name, "0", "0", "0",
		 "644", n);
	append(ar, header, 60);
	append(ar, data, n);
	if (n & 1)
		append(ar, "\n", 1);
}

void build_cell(Theseus__Cell *cell, const char *name, const char *version, struct blob object)
{
	static uint8_t digests[64][32];
	static unsigned n;
	uint8_t *digest = digests[n++ % 64];

	theseus__cell__init(cell);
	sha256(object.p, object.n, digest);
	cell->name = (char *)(uintptr_t)name;
	cell->version = (char *)(uintptr_t)version;
	cell->object = (char *)(uintptr_t)name;
	cell->size = object.n;
	cell->sha256 = (ProtobufCBinaryData){32, digest};
	cell->sdk_abi = SDK_ABI;
}

struct blob build_manifest(const Theseus__Manifest *m)
{
	struct blob b = {0};

	append(&b, NULL, theseus__manifest__get_packed_size(m));
	theseus__manifest__pack(m, b.p);
	return b;
}

struct blob build_bundle(Theseus__Manifest *m, const struct blob *objects)
{
	struct blob ar = build_ar_begin(), manifest = build_manifest(m);

	build_ar_add(&ar, "manifest.pb/", manifest.p, manifest.n);
	free(manifest.p);
	for (size_t i = 0; i < m->n_cells; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s/", m->cells[i]->object);
		build_ar_add(&ar, name, objects[i].p, objects[i].n);
	}
	return ar;
}
