/* SPDX-License-Identifier: MIT */
/*
 * mkbad GOOD.cells DIR STAMP: writes one bundle of each wrong kind to DIR/KIND.cells.
 *
 * GOOD is a bundle of one cell. All but the kinds that are about the archive itself get a
 * manifest whose sizes and digests are right, so that a reader gets as far as the defect.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "base/file.h"
#include "bundle/ar.h"
#include "bundle/bundle.h"
#include "pack/object.h"

#define MILLION_SYMBOLS 1000000u
#define MANY_SYMBOLS 70000u /* more than a loader takes, in a file that it does take */

/* What a kind changes; afterwards bytes and manifest become a bundle. */
struct victim {
	const struct bundle *good;
	struct buf bytes; /* the cell's object */
	Theseus__Manifest *manifest;
	Theseus__Cell *cell;
};

static void fail(const char *what)
{
	fprintf(stderr, "mkbad: %s\n", what);
	exit(1);
}

/* ---- the object's tables, at their places in the file ---- */

static Elf64_Ehdr *header_of(struct victim *v)
{
	return (Elf64_Ehdr *)(void *)v->bytes.data;
}

static Elf64_Shdr *section_at(struct victim *v, unsigned int i)
{
	return (Elf64_Shdr *)(void *)(v->bytes.data + header_of(v)->e_shoff) + i;
}

static Elf64_Shdr *section_of_type(struct victim *v, uint32_t type)
{
	for (unsigned int i = 1; i < header_of(v)->e_shnum; i++)
		if (section_at(v, i)->sh_type == type)
			return section_at(v, i);
	fail("no section of that type");
	return NULL;
}

static Elf64_Shdr *section_named(struct victim *v, const char *name)
{
	const Elf64_Shdr *names = section_at(v, header_of(v)->e_shstrndx);

	for (unsigned int i = 1; i < header_of(v)->e_shnum; i++) {
		Elf64_Shdr *s = section_at(v, i);

		if (strcmp((const char *)v->bytes.data + names->sh_offset + s->sh_name, name) == 0)
			return s;
	}
	fail("no section of that name");
	return NULL;
}

/* The first relocation of .text that has the type, or any with 0. */
static Elf64_Rela *text_reloc(struct victim *v, uint32_t type)
{
	const Elf64_Shdr *s = section_named(v, ".rela.text");
	Elf64_Rela *r = (Elf64_Rela *)(void *)(v->bytes.data + s->sh_offset);

	for (size_t i = 0; i < s->sh_size / sizeof(*r); i++)
		if (!type || ELF64_R_TYPE(r[i].r_info) == type)
			return &r[i];
	fail("no relocation of that type");
	return NULL;
}

static Elf64_Sym *global_symbol(struct victim *v, bool defined)
{
	const Elf64_Shdr *s = section_of_type(v, SHT_SYMTAB);
	Elf64_Sym *syms = (Elf64_Sym *)(void *)(v->bytes.data + s->sh_offset);

	for (size_t i = s->sh_info; i < s->sh_size / sizeof(*syms); i++)
		if ((syms[i].st_shndx != SHN_UNDEF) == defined)
			return &syms[i];
	fail("no such symbol");
	return NULL;
}

/* ---- the kinds ---- */

static void other_machine(struct victim *v)
{
	header_of(v)->e_machine = EM_AARCH64;
}

static void not_relocatable(struct victim *v)
{
	header_of(v)->e_type = ET_EXEC;
}

static void not_elf(struct victim *v)
{
	v->bytes.data[1] = 'X';
}

static void object_cut(struct victim *v)
{
	v->bytes.len = v->bytes.len * 3 / 4;
}

static void object_empty(struct victim *v)
{
	v->bytes.len = 0;
}

static void offset_outside(struct victim *v)
{
	section_named(v, ".rodata")->sh_offset = v->bytes.len + 4096;
}

static void offset_wraps(struct victim *v)
{
	section_named(v, ".rodata")->sh_offset = UINT64_MAX - 8;
}

static void table_outside(struct victim *v)
{
	header_of(v)->e_shoff = UINT64_MAX - 64;
}

static void overlapping_sections(struct victim *v)
{
	section_named(v, ".rodata")->sh_offset = section_named(v, ".text")->sh_offset;
}

static void section_name_outside(struct victim *v)
{
	section_named(v, ".rodata")->sh_name = 0x7fffffff;
}

static void bad_alignment(struct victim *v)
{
	section_named(v, ".rodata")->sh_addralign = 24;
}

static void writable_text(struct victim *v)
{
	section_named(v, ".text")->sh_flags |= SHF_WRITE;
}

static void huge_state(struct victim *v)
{
	section_named(v, ".theseus.state")->sh_size = 1ull << 40;
}

static void symbol_outside(struct victim *v)
{
	global_symbol(v, true)->st_value = 1u << 30;
}

static void symbol_section(struct victim *v)
{
	global_symbol(v, true)->st_shndx = 0x7fff;
}

static void symbol_name_outside(struct victim *v)
{
	global_symbol(v, false)->st_name = 0x7fffffff;
}

static void reloc_range(struct victim *v)
{
	text_reloc(v, R_X86_64_PC32)->r_addend = 1ll << 40;
}

static void reloc_unknown(struct victim *v)
{
	Elf64_Rela *r = text_reloc(v, 0);

	r->r_info = ELF64_R_INFO(ELF64_R_SYM(r->r_info), 0x99);
}

static void reloc_32s(struct victim *v)
{
	Elf64_Rela *r = text_reloc(v, R_X86_64_PC32);

	r->r_info = ELF64_R_INFO(ELF64_R_SYM(r->r_info), R_X86_64_32S);
}

static void reloc_outside(struct victim *v)
{
	text_reloc(v, 0)->r_offset = section_named(v, ".text")->sh_size - 2;
}

static void reloc_symbol(struct victim *v)
{
	Elf64_Rela *r = text_reloc(v, 0);

	r->r_info = ELF64_R_INFO(0x7fffffull, ELF64_R_TYPE(r->r_info));
}

static void replace_string(char **s, const char *with)
{
	char *copy = strdup(with);

	if (!copy)
		fail("out of memory");
	free(*s);
	*s = copy;
}

/* An import that nobody exports, in the object and in the manifest. */
static void missing_symbol(struct victim *v)
{
	const Elf64_Shdr *symtab = section_of_type(v, SHT_SYMTAB);
	const Elf64_Shdr *strings = section_at(v, symtab->sh_link);
	char *name = (char *)v->bytes.data + strings->sh_offset + global_symbol(v, false)->st_name;

	for (size_t i = 0; i < v->cell->n_imports; i++) {
		if (strcmp(v->cell->imports[i]->name, name) != 0)
			continue;
		memcpy(name, "nowhere", strlen(name) < 7 ? strlen(name) : 7);
		replace_string(&v->cell->imports[i]->name, name);
		return;
	}
	fail("the manifest does not name the import");
}

/* Writes the object again after @change of its parsed form. */
static void rewrite(struct victim *v, void (*change)(struct object *o))
{
	struct reasons reasons = {0};
	struct object o = {0};
	struct buf out = {0};

	if (object_parse("the good object", v->bytes.data, v->bytes.len, &o, &reasons) < 0)
		fail(reasons_first(&reasons));
	change(&o);
	if (object_write(&o, &out) < 0)
		fail("cannot write the object");
	object_done(&o);
	buf_done(&v->bytes);
	v->bytes = out;
}

static void add_duplicate(struct object *o)
{
	for (size_t i = 1; i < o->n_symbols; i++) {
		struct object_symbol s = o->symbols[i];

		if (s.bind == STB_GLOBAL && s.place == OBJECT_DEFINED && s.type == STT_FUNC) {
			if (object_symbol_add(o, &s) == OBJECT_NONE)
				fail("out of memory");
			return;
		}
	}
	fail("no function to define twice");
}

static void duplicate_symbol(struct victim *v)
{
	rewrite(v, add_duplicate);
}

static void add_symbols(struct object *o, unsigned int n)
{
	const struct object_symbol s = {.name = "",
					.file = "",
					.bind = STB_GLOBAL,
					.type = STT_NOTYPE,
					.place = OBJECT_ABSOLUTE,
					.section = OBJECT_NONE};

	for (unsigned int i = 0; i < n; i++)
		if (object_symbol_add(o, &s) == OBJECT_NONE)
			fail("out of memory");
}

static void add_million(struct object *o)
{
	add_symbols(o, MILLION_SYMBOLS);
}

static void add_many(struct object *o)
{
	add_symbols(o, MANY_SYMBOLS);
}

static void million_symbols(struct victim *v)
{
	rewrite(v, add_million);
}

static void many_symbols(struct victim *v)
{
	rewrite(v, add_many);
}

static void export_undefined(struct victim *v)
{
	replace_string(&v->cell->exports[0]->name, "greeter_nothing");
}

static void provide_undefined(struct victim *v)
{
	replace_string(&v->cell->provides[0]->symbol, "__provide_command_ops__nothing");
}

static void sdk_abi(struct victim *v)
{
	v->cell->sdk_abi = 99;
}

static void format_unknown(struct victim *v)
{
	v->manifest->format = 99;
}

static void name_bad(struct victim *v)
{
	replace_string(&v->cell->name, "../greeter");
}

static const struct {
	const char *kind;
	void (*change)(struct victim *v);
} object_kinds[] = {
	{"other-machine", other_machine},
	{"not-relocatable", not_relocatable},
	{"not-elf", not_elf},
	{"object-cut", object_cut},
	{"object-empty", object_empty},
	{"offset-outside", offset_outside},
	{"offset-wraps", offset_wraps},
	{"table-outside", table_outside},
	{"overlapping-sections", overlapping_sections},
	{"section-name-outside", section_name_outside},
	{"bad-alignment", bad_alignment},
	{"writable-text", writable_text},
	{"huge-state", huge_state},
	{"symbol-outside", symbol_outside},
	{"symbol-section", symbol_section},
	{"symbol-name-outside", symbol_name_outside},
	{"million-symbols", million_symbols},
	{"many-symbols", many_symbols},
	{"reloc-range", reloc_range},
	{"reloc-unknown", reloc_unknown},
	{"reloc-32s", reloc_32s},
	{"reloc-outside", reloc_outside},
	{"reloc-symbol", reloc_symbol},
	{"missing-symbol", missing_symbol},
	{"duplicate-symbol", duplicate_symbol},
	{"export-undefined", export_undefined},
	{"provide-undefined", provide_undefined},
	{"sdk-abi", sdk_abi},
	{"unknown-format", format_unknown},
	{"bad-name", name_bad},
};

static void write_kind(const char *dir, const char *kind, const void *data, size_t size)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s.cells", dir, kind) < 0 || file_write(path, data, size) < 0)
		fail("cannot write");
	free(path);
}

static void make_object_kind(const struct bundle *good, const char *dir, size_t at)
{
	struct bundle_cell cell = bundle_cell_at(good, 0);
	const Theseus__Manifest *m = bundle_manifest(good);
	size_t packed = theseus__manifest__get_packed_size(m);
	uint8_t *wire = malloc(packed), digest[crypto_hash_sha256_BYTES];
	struct victim v = {.good = good};
	struct buf out = {0};

	if (!wire)
		fail("out of memory");
	(void)theseus__manifest__pack(m, wire);
	v.manifest = theseus__manifest__unpack(NULL, packed, wire);
	free(wire);
	buf_put(&v.bytes, cell.object, cell.size);
	if (!v.manifest || !buf_ok(&v.bytes))
		fail("out of memory");
	v.cell = v.manifest->cells[0];
	object_kinds[at].change(&v);
	(void)crypto_hash_sha256(digest, v.bytes.data, v.bytes.len);
	memcpy(v.cell->sha256.data, digest, sizeof(digest));
	v.cell->size = v.bytes.len;
	if (bundle_write_raw(v.manifest, (const uint8_t *const[]){v.bytes.data}, &v.bytes.len,
			     &out) < 0)
		fail("cannot write a bundle");
	write_kind(dir, object_kinds[at].kind, out.data, out.len);
	theseus__manifest__free_unpacked(v.manifest, NULL);
	buf_done(&v.bytes);
	buf_done(&out);
}

/* Kinds that are about the archive; nothing is put right. */
static void make_archive_kinds(const struct bundle *good, const char *dir)
{
	struct bundle_cell cell = bundle_cell_at(good, 0);
	size_t size, n;
	const uint8_t *bytes = bundle_bytes(good, &size);
	struct ar_member *members, swapped[3];
	struct buf out = {0};

	write_kind(dir, "empty", bytes, 0);
	write_kind(dir, "not-an-archive", cell.object, cell.size);
	write_kind(dir, "cut-short", bytes, size - size / 3);
	write_kind(dir, "cut-header", bytes, 30);

	buf_put(&out, bytes, size);
	out.data[size - cell.size / 2] ^= 1;
	write_kind(dir, "wrong-hash", out.data, out.len);
	buf_done(&out);

	if (ar_parse(bytes, size, &members, &n, NULL) < 0 || n != 2)
		fail("the good bundle is not one of one cell");
	ar_write(members + 1, 1, &out);
	write_kind(dir, "no-manifest", out.data, out.len);
	buf_done(&out);

	ar_write(members, 1, &out);
	write_kind(dir, "no-object", out.data, out.len);
	buf_done(&out);

	memcpy(swapped, members, 2 * sizeof(*members));
	swapped[2] = members[1];
	ar_write(swapped, 3, &out);
	write_kind(dir, "duplicate-member", out.data, out.len);
	buf_done(&out);

	swapped[0].data = cell.object;
	swapped[0].size = cell.size;
	ar_write(swapped, 2, &out);
	write_kind(dir, "garbage-manifest", out.data, out.len);
	buf_done(&out);

	memcpy(swapped, members, 2 * sizeof(*members));
	swapped[1].size -= 16;
	ar_write(swapped, 2, &out);
	write_kind(dir, "size-mismatch", out.data, out.len);
	buf_done(&out);
	free(members);
}

int main(int argc, char **argv)
{
	struct reasons reasons = {0};
	struct bundle *good;

	if (argc != 4 || sodium_init() < 0)
		fail("usage: mkbad GOOD.cells DIR STAMP");
	if (bundle_open_file(argv[1], &good, &reasons) < 0)
		fail(reasons_first(&reasons));
	if (mkdir(argv[2], 0755) < 0 && errno != EEXIST)
		fail("cannot make the folder");
	make_archive_kinds(good, argv[2]);
	for (size_t i = 0; i < sizeof(object_kinds) / sizeof(object_kinds[0]); i++)
		make_object_kind(good, argv[2], i);
	bundle_free(good);
	return file_write(argv[3], "", 0) < 0;
}
