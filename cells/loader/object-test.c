/* SPDX-License-Identifier: MIT */
/* Objects: a good one is laid out, copied and relocated; every check refuses what it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "link.h"
#include "testing/build.h"

static struct slice as_slice(struct blob b)
{
	return (struct slice){b.p, b.n};
}

/* ---- a small good object: text, rodata, state, bss ---- */

enum { TEXT = 1, RODATA, STATE, BSS, RELRO, DEBUG };

static const uint8_t text_bytes[64] = {0x90}, rodata_bytes[40] = {1}, state_bytes[16] = {2};

static void small(struct build *b)
{
	build_init(b);
	assert_int_equal(build_section(b, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR,
				       text_bytes, sizeof(text_bytes), 16),
			 TEXT);
	build_section(b, ".rodata", SHT_PROGBITS, SHF_ALLOC, rodata_bytes, sizeof(rodata_bytes),
		      32);
	build_section(b, ".theseus.state", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, state_bytes,
		      sizeof(state_bytes), 64);
	build_section(b, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 100, 32);
	build_section(b, ".data.rel.ro", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, rodata_bytes, 16, 8);
	build_section(b, ".debug_x", SHT_PROGBITS, 0, rodata_bytes, 8, 1);
}

static int open_blob(struct blob o, struct object *ret, struct loader_report *report)
{
	memset(report, 0, sizeof(*report));
	return object_open(as_slice(o), slice_of("tested"), ret, report);
}

/* Opens, expects a refusal that says @text, frees. */
static void refuse(struct blob o, const char *text)
{
	struct loader_report report;
	struct object object;

	assert_int_equal(open_blob(o, &object, &report), -EINVAL);
	assert_string_equal(report.code, "bad-object");
	if (!strstr(report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", report.reasons[0], text);
	assert_non_null(strstr(report.reasons[0], "tested"));
	free(o.p);
}

static struct blob small_blob(struct build *b)
{
	small(b);
	build_symbol(b, "local", TEXT, 4, 4, STB_LOCAL, STT_FUNC);
	build_symbol(b, "global", TEXT, 8, 4, STB_GLOBAL, STT_FUNC);
	build_symbol(b, "import", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_rela(b, TEXT, 10, 3, R_X86_64_PLT32, -4);
	return build_finish(b);
}

static void test_open(void **state)
{
	struct loader_report report;
	struct elf64_sym symbol;
	struct object o;
	struct build b;
	struct blob blob = small_blob(&b);

	(void)state;
	assert_int_equal(open_blob(blob, &o, &report), 0);
	assert_int_equal(o.n_symbols, 4);
	assert_int_equal(o.first_global, 2);
	assert_int_equal(object_find(&o, slice_of("global"), &symbol), 0);
	assert_int_equal(symbol.value, 8);
	assert_int_equal(object_find(&o, slice_of("local"), &symbol), -ENOENT);
	assert_int_equal(object_find(&o, slice_of("import"), &symbol), -ENOENT);
	assert_int_equal(object_find(&o, slice_of("globa"), &symbol), -ENOENT);
	/* nothing that is cut off is taken for whole */
	for (size_t n = 0; n < blob.n; n++) {
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, blob.p, n);
		assert_int_equal(open_blob((struct blob){cut, n}, &o, &report), -EINVAL);
		free(cut);
	}
	free(blob.p);
}

static void test_header_refusals(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *text;
	} cases[] = {
		{0, 0, "not an ELF file"},
		{4, 1, "not 64-bit"},
		{5, 2, "not 64-bit"},
		{6, 0, "not 64-bit"},
		{16, 2, "not relocatable"},
		{18, 40, "for machine 40"},
		{20, 2, "not 64-bit"},
		{40 + 7, 0x80, "lies outside the file"},
		{52, 63, "wrong sizes"},
		{56, 1, "wrong sizes"},
		{58, 63, "wrong sizes"},
		{60, 0, "0 sections"},
		{60 + 1, 0xff, "1..1024 are allowed"},
		{62, 0, "section names is out of range"},
		{62, 200, "section names is out of range"},
		{62, TEXT, "not a string table"},
	};
	struct build b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct blob o = small_blob(&b);

		o.p[cases[i].at] = cases[i].value;
		refuse(o, cases[i].text);
	}
	refuse((struct blob){calloc(1, OBJECT_BYTES_MAX + 1), OBJECT_BYTES_MAX + 1},
	       "larger than 8 MiB");
}

/* One field of a section header set to a value that is refused. */
static void refuse_section(unsigned index, size_t field, uint64_t value, size_t width,
			   const char *text)
{
	struct build b;
	struct blob o = small_blob(&b);

	memcpy((uint8_t *)build_shdr(o, index) + field, &value, width);
	refuse(o, text);
}

#define SECTION(index, field, value, text)                                                         \
	refuse_section((index), offsetof(struct elf64_shdr, field), (uint64_t)(value),             \
		       sizeof(((struct elf64_shdr *)0)->field), (text))

static void test_section_refusals(void **state)
{
	struct build b;
	struct blob o;

	(void)state;
	o = small_blob(&b);
	free(o.p);
	SECTION(0, type, SHT_PROGBITS, "null section");
	SECTION(TEXT, name, 0x10000, "name outside the string table");
	SECTION(TEXT, type, SHT_INIT_ARRAY, "type that cells may not have");
	SECTION(TEXT, type, 0x12345, "type that cells may not have");
	SECTION(DEBUG, type, SHT_SYMTAB_SHNDX, "type that cells may not have");
	SECTION(TEXT, offset, 1 << 20, "lies outside the file");
	SECTION(TEXT, offset, UINT64_MAX - 8, "lies outside the file");
	SECTION(TEXT, size, UINT64_MAX, "lies outside the file");
	SECTION(TEXT, addralign, 3, "alignment");
	SECTION(TEXT, addralign, 8192, "alignment");
	SECTION(BSS, size, OBJECT_BYTES_MAX + 1, "larger than 8 MiB");
	SECTION(STATE, flags, SHF_ALLOC | SHF_WRITE | SHF_TLS, "thread-local");
	SECTION(RODATA, flags, SHF_ALLOC | SHF_COMPRESSED, "compressed");
	SECTION(TEXT, flags, SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR, "writable and executable");
	SECTION(BSS, flags, SHF_ALLOC | SHF_EXECINSTR, "text without bytes");
	SECTION(TEXT, addr, 4096, "has an address");
	SECTION(RODATA, offset, 0x48, "overlaps another section");
	SECTION(RODATA, offset, 0x10, "overlaps the ELF headers");
	SECTION(DEBUG, type, SHT_REL, "without addends");
	SECTION(b.symtab, entsize, 16, "no array of symbols");
	SECTION(b.symtab, size, 95, "no array of symbols");
	SECTION(b.symtab, size, 0, "no array of symbols");
	SECTION(b.symtab, link, 0, "links to no string table");
	SECTION(b.symtab, link, 99, "links to no string table");
	SECTION(b.symtab, link, TEXT, "no terminated string table");
	SECTION(b.symtab, info, 0, "first global symbol out of range");
	SECTION(b.symtab, info, 5, "first global symbol out of range");
	SECTION(b.symtab, info, 3, "wrong side");
	SECTION(b.symtab, info, 1, "wrong side");
	SECTION(b.first_rela, entsize, 16, "no array of relocations");
	SECTION(b.first_rela, size, 23, "no array of relocations");
	SECTION(b.first_rela, info, 0, "relocates a section out of range");
	SECTION(b.first_rela, info, 99, "relocates a section out of range");
	SECTION(b.first_rela, info, BSS, "section without bytes");
	SECTION(b.first_rela, link, TEXT, "no symbol table");
	SECTION(b.first_rela, link, 99, "no symbol table");
}

static void test_more_section_refusals(void **state)
{
	struct build b;
	struct blob o;

	(void)state;
	/* a string table that no NUL ends */
	o = small_blob(&b);
	o.p[build_shdr(o, b.strtab)->offset + build_shdr(o, b.strtab)->size - 1] = 'x';
	refuse(o, "no terminated string table");
	o = small_blob(&b);
	o.p[build_shdr(o, b.shstrtab)->offset + build_shdr(o, b.shstrtab)->size - 1] = 'x';
	refuse(o, "not a string table");
	/* a second symbol table */
	o = small_blob(&b);
	*build_shdr(o, DEBUG) = *build_shdr(o, b.symtab);
	build_shdr(o, DEBUG)->offset = build_shdr(o, b.symtab)->offset;
	refuse(o, "overlaps another section");
	o = small_blob(&b);
	build_shdr(o, DEBUG)->type = SHT_SYMTAB;
	build_shdr(o, DEBUG)->size = 24;
	build_shdr(o, DEBUG)->offset = build_shdr(o, RODATA)->offset;
	build_shdr(o, DEBUG)->entsize = 24;
	build_shdr(o, DEBUG)->link = b.strtab;
	build_shdr(o, DEBUG)->info = 1;
	build_shdr(o, RODATA)->type = SHT_NOBITS;
	refuse(o, "second symbol table");
}

static void test_million_symbols(void **state)
{
	struct build b;
	struct blob o = small_blob(&b);
	size_t bytes = 1000000 * sizeof(struct elf64_sym);

	(void)state;
	/* the size alone is looked at, so the table need not hold sensible symbols */
	o.p = realloc(o.p, o.n + bytes);
	assert_non_null(o.p);
	memset(o.p + o.n, 0, bytes);
	build_shdr(o, b.symtab)->offset = o.n;
	build_shdr(o, b.symtab)->size = 100000 * sizeof(struct elf64_sym);
	o.n += 100000 * sizeof(struct elf64_sym);
	refuse(o, "100000 symbols; 65536 are allowed");
	o = small_blob(&b);
	build_shdr(o, b.symtab)->size = bytes;
	refuse(o, "lies outside the file");
}

/* One more symbol, bad in one way. */
static void refuse_symbol(struct elf64_sym s, const char *text)
{
	struct build b;
	struct blob o;

	small(&b);
	build_symbol(&b, "bad_one", s.shndx, s.value, s.size, s.info >> 4, s.info & 0xf);
	o = build_finish(&b);
	if (s.name)
		((struct elf64_sym *)(void *)(o.p + build_shdr(o, b.symtab)->offset))[1].name =
			s.name;
	refuse(o, text);
}

static void test_symbol_refusals(void **state)
{
	const uint8_t global = STB_GLOBAL << 4;

	(void)state;
	refuse_symbol((struct elf64_sym){.name = 500, .info = global, .shndx = TEXT},
		      "outside the string table");
	refuse_symbol((struct elf64_sym){.info = global | STT_GNU_IFUNC, .shndx = TEXT}, "IFUNC");
	refuse_symbol((struct elf64_sym){.info = global | STT_TLS, .shndx = TEXT}, "thread-local");
	refuse_symbol((struct elf64_sym){.info = global | 7, .shndx = TEXT}, "unknown type");
	refuse_symbol((struct elf64_sym){.info = 10 << 4, .shndx = TEXT},
		      "unknown type or binding");
	refuse_symbol((struct elf64_sym){.info = global, .shndx = SHN_COMMON}, "common");
	refuse_symbol((struct elf64_sym){.info = global, .shndx = 77},
		      "section index out of range");
	refuse_symbol((struct elf64_sym){.info = global, .shndx = 0xff20},
		      "section index out of range");
	refuse_symbol((struct elf64_sym){.info = global, .shndx = TEXT, .value = 65},
		      "outside its section");
	refuse_symbol((struct elf64_sym){.info = global, .shndx = TEXT, .value = 60, .size = 5},
		      "outside its section");
	refuse_symbol(
		(struct elf64_sym){.info = global, .shndx = TEXT, .value = 1, .size = UINT64_MAX},
		"outside its section");
}

static void refuse_rela(uint64_t offset, unsigned symbol, uint32_t type, const char *text)
{
	struct build b;

	small(&b);
	build_symbol(&b, "import", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_rela(&b, TEXT, offset, symbol, type, 0);
	refuse(build_finish(&b), text);
}

static void test_rela_refusals(void **state)
{
	(void)state;
	refuse_rela(0, 2, R_X86_64_PC32, "symbol out of range");
	refuse_rela(0, UINT32_MAX, R_X86_64_PC32, "symbol out of range");
	refuse_rela(61, 1, R_X86_64_PC32, "bytes outside its section");
	refuse_rela(57, 1, R_X86_64_64, "bytes outside its section");
	refuse_rela(57, 1, R_X86_64_PC64, "bytes outside its section");
	refuse_rela(65, 1, R_X86_64_NONE, "bytes outside its section");
	refuse_rela(UINT64_MAX - 3, 1, R_X86_64_PC32, "bytes outside its section");
}

/* ---- layout and relocation ---- */

#define TEXT_AT 0x600000001000ull
#define RODATA_AT 0x600000003000ull
#define STATE_AT 0x600000005000ull

struct linked {
	struct blob blob;
	struct object object;
	struct link_layout layout;
	struct link_memory memory[LINK_REGIONS];
	void *arena;
	struct loader_report report;
	struct link_site sites[8];
	unsigned n_sites;
	uint64_t import_at; /* 0 = not there */
};

static int resolve(void *ctx, uint32_t index, struct slice name, uint64_t *ret_addr)
{
	struct linked *l = ctx;

	(void)index;
	if (!slice_is(name, "import") || !l->import_at)
		return -ENOENT;
	*ret_addr = l->import_at;
	return 0;
}

static int note(void *ctx, const struct link_site *site)
{
	struct linked *l = ctx;

	assert_true(l->n_sites < 8);
	l->sites[l->n_sites++] = *site;
	return 0;
}

static int lay_out(struct linked *l, struct build *b)
{
	static const uint64_t at[] = {TEXT_AT, RODATA_AT, STATE_AT};
	int r;

	l->blob = build_finish(b);
	assert_int_equal(open_blob(l->blob, &l->object, &l->report), 0);
	l->arena = malloc(layout_arena_bytes(&l->object));
	r = layout_create(&l->object, l->arena, &l->layout, &l->report);
	for (unsigned i = 0; i < LINK_REGIONS && r == 0; i++) {
		l->memory[i].addr = at[i];
		l->memory[i].bytes = malloc(LINK_PAGES(l->layout.bytes[i]) + 1);
		memset(l->memory[i].bytes, 0xee, LINK_PAGES(l->layout.bytes[i]) + 1);
	}
	return r;
}

static int link_it(struct linked *l)
{
	struct link_names names = {.resolve = resolve, .site = note, .ctx = l};

	link_copy(&l->object, &l->layout, l->memory);
	return link_relocate(&l->object, &l->layout, l->memory, &names, &l->report);
}

static void unlink_it(struct linked *l)
{
	for (unsigned i = 0; i < LINK_REGIONS; i++)
		free(l->memory[i].bytes);
	free(l->arena);
	free(l->blob.p);
}

static uint64_t word_at(const struct linked *l, enum link_region region, uint64_t offset, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, l->memory[region].bytes + offset, n);
	return v;
}

static void test_layout(void **state)
{
	struct linked l = {0};
	struct build b;

	(void)state;
	small(&b);
	assert_int_equal(lay_out(&l, &b), 0);
	assert_int_equal(l.layout.bytes[LINK_TEXT], 64);
	/* .rodata 0..40, .data.rel.ro 40..56 */
	assert_int_equal(l.layout.bytes[LINK_RODATA], 56);
	assert_int_equal(l.layout.places[RELRO].region, LINK_RODATA);
	assert_int_equal(l.layout.places[RELRO].offset, 40);
	/* state 0..16, .bss aligned to 32: 32..132 */
	assert_int_equal(l.layout.bytes[LINK_STATE], 132);
	assert_int_equal(l.layout.places[BSS].offset, 32);
	assert_int_equal(l.layout.places[DEBUG].region, LINK_REGIONS);
	assert_int_equal(link_it(&l), 0);
	assert_int_equal(word_at(&l, LINK_TEXT, 0, 1), 0x90);
	assert_int_equal(word_at(&l, LINK_TEXT, 64, 8), 0xcccccccccccccccc);
	assert_int_equal(word_at(&l, LINK_TEXT, 4095, 1), 0xcc);
	assert_int_equal(word_at(&l, LINK_RODATA, 40, 1), 1);
	assert_int_equal(word_at(&l, LINK_RODATA, 56, 8), 0);
	assert_int_equal(word_at(&l, LINK_STATE, 0, 1), 2);
	assert_int_equal(word_at(&l, LINK_STATE, 16, 8), 0);
	assert_int_equal(word_at(&l, LINK_STATE, 4095, 1), 0);
	for (unsigned i = 0; i < LINK_REGIONS; i++)
		assert_int_equal(word_at(&l, (enum link_region)i, 4096, 1), 0xee);
	unlink_it(&l);
}

static void test_relro_names(void **state)
{
	static const struct {
		const char *name;
		uint64_t flags;
		uint32_t region;
	} cases[] = {
		{".data.rel.ro.local", SHF_WRITE, LINK_RODATA},
		{".data.rel.local.DW.ref.__gcc_personality_v0", SHF_WRITE, LINK_RODATA},
		{".eh_frame", SHF_WRITE, LINK_RODATA},
		{".eh_frame", 0, LINK_RODATA},
		{".gcc_except_table", 0, LINK_RODATA},
		{".gcc_except_table.f", SHF_WRITE, LINK_RODATA},
		{".data", SHF_WRITE, LINK_STATE},
		{".data.rel", SHF_WRITE, LINK_STATE},
		{".text.unlikely", SHF_EXECINSTR, LINK_TEXT},
		{".init_array", SHF_WRITE, LINK_STATE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct linked l = {0};
		struct build b;

		build_init(&b);
		build_section(&b, cases[i].name, SHT_PROGBITS, SHF_ALLOC | cases[i].flags,
			      rodata_bytes, 8, 8);
		assert_int_equal(lay_out(&l, &b), 0);
		assert_int_equal(l.layout.places[1].region, cases[i].region);
		unlink_it(&l);
	}
}

/* Links one relocation in section @section at 8 against symbol 1..4; checks the field. */
enum { SYM_SECTION = 1, SYM_TEXT, SYM_STATE, SYM_IMPORT, SYM_WEAK };

static void one(struct linked *l, unsigned section, unsigned symbol, uint32_t type, int64_t addend,
		uint64_t import_at)
{
	struct build b;

	memset(l, 0, sizeof(*l));
	small(&b);
	build_symbol(&b, "", RODATA, 0, 0, STB_LOCAL, STT_SECTION);
	build_symbol(&b, "f", TEXT, 16, 4, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, "state", STATE, 4, 4, STB_GLOBAL, STT_OBJECT);
	build_symbol(&b, "import", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_symbol(&b, "weak", SHN_UNDEF, 0, 0, STB_WEAK, STT_NOTYPE);
	build_rela(&b, section, 8, symbol, type, addend);
	l->import_at = import_at;
	assert_int_equal(lay_out(l, &b), 0);
}

static void good(unsigned section, unsigned symbol, uint32_t type, int64_t addend,
		 uint64_t import_at, enum link_region region, uint64_t offset, size_t width,
		 uint64_t value)
{
	struct linked l;

	one(&l, section, symbol, type, addend, import_at);
	assert_int_equal(link_it(&l), 0);
	assert_int_equal(l.report.n_reasons, 0);
	assert_int_equal(word_at(&l, region, offset, width), value);
	assert_int_equal(l.n_sites, symbol == SYM_IMPORT);
	if (l.n_sites) {
		assert_int_equal(link_site_value(l.sites[0].type, l.sites[0].addend,
						 l.sites[0].addr, import_at) &
					 (width == 8 ? UINT64_MAX : UINT32_MAX),
				 value);
		assert_int_equal(l.sites[0].symbol, SYM_IMPORT);
	}
	unlink_it(&l);
}

static void bad(unsigned section, unsigned symbol, uint32_t type, int64_t addend,
		uint64_t import_at, const char *code, const char *text)
{
	struct linked l;

	one(&l, section, symbol, type, addend, import_at);
	assert_int_equal(link_it(&l), -EINVAL);
	assert_string_equal(l.report.code, code);
	if (!strstr(l.report.reasons[0], text))
		fail_msg("'%s' does not say '%s'", l.report.reasons[0], text);
	unlink_it(&l);
}

#define FAR 0x600040000000ull

static void test_relocations(void **state)
{
	const uint64_t p = TEXT_AT + 8;

	(void)state;
	good(TEXT, SYM_TEXT, R_X86_64_64, 5, 0, LINK_TEXT, 8, 8, TEXT_AT + 16 + 5);
	good(TEXT, SYM_SECTION, R_X86_64_64, 7, 0, LINK_TEXT, 8, 8, RODATA_AT + 7);
	good(RODATA, SYM_STATE, R_X86_64_64, -4, 0, LINK_RODATA, 8, 8, STATE_AT);
	good(RODATA, SYM_IMPORT, R_X86_64_64, 0, FAR, LINK_RODATA, 8, 8, FAR);
	good(TEXT, SYM_TEXT, R_X86_64_PC32, -4, 0, LINK_TEXT, 8, 4, 16 - 8 - 4);
	good(TEXT, SYM_IMPORT, R_X86_64_PLT32, -4, FAR, LINK_TEXT, 8, 4, FAR - 4 - p);
	good(TEXT, SYM_IMPORT, R_X86_64_PC32, -4, FAR, LINK_TEXT, 8, 4, FAR - 4 - p);
	good(TEXT, SYM_IMPORT, R_X86_64_PC64, 9, 0x10, LINK_TEXT, 8, 8, 0x10 + 9 - p);
	good(RODATA, SYM_TEXT, R_X86_64_PC64, 0, 0, LINK_RODATA, 8, 8,
	     TEXT_AT + 16 - RODATA_AT - 8);
	good(TEXT, SYM_TEXT, R_X86_64_NONE, 0, 0, LINK_TEXT, 8, 8, 0);
	/* a site that crosses nothing but still lies at an odd place is written whole */
	good(STATE, SYM_STATE, R_X86_64_64, 0, 0, LINK_STATE, 8, 8, STATE_AT + 4);
}

static void test_relocation_range(void **state)
{
	const uint64_t p = TEXT_AT + 8;

	(void)state;
	/* the last distance that fits, and the first that does not, both ways */
	good(TEXT, SYM_IMPORT, R_X86_64_PC32, 0, p + INT32_MAX, LINK_TEXT, 8, 4, INT32_MAX);
	bad(TEXT, SYM_IMPORT, R_X86_64_PC32, 0, p + INT32_MAX + 1ull, "relocation-range",
	    "tested: .text+0x8: R_X86_64_PC32 against import does not reach");
	good(TEXT, SYM_IMPORT, R_X86_64_PLT32, 0, p + (uint64_t)(int64_t)INT32_MIN, LINK_TEXT, 8, 4,
	     0x80000000);
	bad(TEXT, SYM_IMPORT, R_X86_64_PLT32, -1, p + (uint64_t)(int64_t)INT32_MIN,
	    "relocation-range", "R_X86_64_PLT32 against import");
	bad(TEXT, SYM_TEXT, R_X86_64_PC32, INT64_MAX, 0, "relocation-range", "against f");
	/* wide ones always fit */
	good(TEXT, SYM_IMPORT, R_X86_64_PC64, 0, p + (1ull << 40), LINK_TEXT, 8, 8, 1ull << 40);
}

static void test_got(void **state)
{
	static const uint32_t types[] = {R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX,
					 R_X86_64_REX_GOTPCRELX};
	const uint64_t p = TEXT_AT + 8;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct linked l;

		one(&l, TEXT, SYM_IMPORT, types[i], -4, FAR);
		assert_int_equal(l.layout.n_got, 1);
		assert_int_equal(l.layout.got, 56);
		assert_int_equal(l.layout.bytes[LINK_RODATA], 64);
		assert_int_equal(link_it(&l), 0);
		assert_int_equal(word_at(&l, LINK_TEXT, 8, 4), RODATA_AT + 56 - 4 - p);
		assert_int_equal(word_at(&l, LINK_RODATA, 56, 8), FAR);
		/* what a swap patches is the entry, not the reference to it */
		assert_int_equal(l.n_sites, 1);
		assert_int_equal(l.sites[0].addr, RODATA_AT + 56);
		assert_int_equal(l.sites[0].type, R_X86_64_64);
		assert_int_equal(l.sites[0].section, 0);
		unlink_it(&l);
		one(&l, TEXT, SYM_TEXT, types[i], -4, 0);
		assert_int_equal(link_it(&l), 0);
		assert_int_equal(word_at(&l, LINK_RODATA, 56, 8), TEXT_AT + 16);
		assert_int_equal(l.n_sites, 0);
		unlink_it(&l);
		one(&l, TEXT, SYM_WEAK, types[i], -4, 0);
		assert_int_equal(link_it(&l), 0);
		assert_int_equal(word_at(&l, LINK_RODATA, 56, 8), 0);
		unlink_it(&l);
		bad(TEXT, SYM_IMPORT, types[i], -4, 0, "missing-symbol", "import is not defined");
	}
}

static void test_weak(void **state)
{
	struct linked l;

	(void)state;
	good(RODATA, SYM_WEAK, R_X86_64_64, 0, 0, LINK_RODATA, 8, 8, 0);
	/* a call that its guard never lets run ends in a trap of the cell's own */
	one(&l, TEXT, SYM_WEAK, R_X86_64_PLT32, -4, 0);
	assert_int_equal(l.layout.weak_trap, 65);
	assert_int_equal(link_it(&l), 0);
	assert_int_equal(word_at(&l, LINK_TEXT, 64, 1), 0xcc);
	assert_int_equal(8 + 4 + (int32_t)word_at(&l, LINK_TEXT, 8, 4), 64);
	unlink_it(&l);
}

static void test_relocation_refusals(void **state)
{
	static const struct {
		uint32_t type;
		const char *name;
	} types[] = {
		{R_X86_64_32, "R_X86_64_32 "},      {R_X86_64_32S, "R_X86_64_32S"},
		{R_X86_64_GOT32, "R_X86_64_GOT32"}, {R_X86_64_TLSGD, "R_X86_64_TLSGD"},
		{R_X86_64_TPOFF32, "TPOFF32"},      {R_X86_64_GOTPC32, "GOTPC32"},
		{R_X86_64_GOTOFF64, "GOTOFF64"},    {99, "type 99"},
		{UINT32_MAX, "type 4294967295"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		bad(TEXT, SYM_TEXT, types[i].type, 0, 0, "unknown-relocation", types[i].name);
	bad(TEXT, SYM_IMPORT, R_X86_64_PC32, 0, 0, "missing-symbol",
	    "import is not defined anywhere");
	bad(STATE, SYM_TEXT, R_X86_64_64, 0, 0, "state-address", "outside the state");
	bad(STATE, SYM_SECTION, R_X86_64_64, 0, 0, "state-address", "outside the state");
	bad(STATE, SYM_IMPORT, R_X86_64_64, 0, FAR, "state-address", "outside the state");
	bad(STATE, SYM_WEAK, R_X86_64_64, 0, 0, "state-address", "outside the state");
}

static void test_all_reasons(void **state)
{
	struct linked l = {0};
	struct build b;

	(void)state;
	small(&b);
	build_symbol(&b, "absent", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_symbol(&b, "gone", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_symbol(&b, "absolute", SHN_ABS, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_symbol(&b, "debug", DEBUG, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_rela(&b, TEXT, 0, 1, R_X86_64_PLT32, 0);
	build_rela(&b, TEXT, 4, 1, R_X86_64_PLT32, 0);
	build_rela(&b, TEXT, 8, 2, R_X86_64_PLT32, 0);
	build_rela(&b, TEXT, 12, 3, R_X86_64_32S, 0);
	build_rela(&b, TEXT, 16, 3, R_X86_64_PC32, 0);
	build_rela(&b, TEXT, 20, 4, R_X86_64_PC32, 0);
	assert_int_equal(lay_out(&l, &b), 0);
	assert_int_equal(link_it(&l), -EINVAL);
	assert_int_equal(l.report.n_reasons, 5); /* the second call of `absent` says nothing new */
	assert_non_null(strstr(l.report.reasons[1], "gone"));
	assert_non_null(
		strstr(l.report.reasons[3], "absolute is used but lies in no loaded section"));
	unlink_it(&l);
}

static void test_region_too_large(void **state)
{
	struct linked l = {0};
	struct build b;

	(void)state;
	build_init(&b);
	for (unsigned i = 0; i < 3; i++)
		build_section(&b, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, OBJECT_BYTES_MAX,
			      8);
	assert_int_equal(lay_out(&l, &b), -EINVAL);
	assert_string_equal(l.report.code, "bad-object");
	assert_non_null(strstr(l.report.reasons[0], "a region would be larger"));
	unlink_it(&l);
}

/* State that is carried over is not touched, but what points to it is right. */
static void test_kept_state(void **state)
{
	struct linked l;

	(void)state;
	one(&l, RODATA, SYM_STATE, R_X86_64_64, 0, 0);
	free(l.memory[LINK_STATE].bytes);
	l.memory[LINK_STATE].bytes = NULL;
	assert_int_equal(link_it(&l), 0);
	assert_int_equal(word_at(&l, LINK_RODATA, 8, 8), STATE_AT + 4);
	unlink_it(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_header_refusals),
		cmocka_unit_test(test_section_refusals),
		cmocka_unit_test(test_more_section_refusals),
		cmocka_unit_test(test_million_symbols),
		cmocka_unit_test(test_symbol_refusals),
		cmocka_unit_test(test_rela_refusals),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_relro_names),
		cmocka_unit_test(test_relocations),
		cmocka_unit_test(test_relocation_range),
		cmocka_unit_test(test_got),
		cmocka_unit_test(test_weak),
		cmocka_unit_test(test_relocation_refusals),
		cmocka_unit_test(test_all_reasons),
		cmocka_unit_test(test_region_too_large),
		cmocka_unit_test(test_kept_state),
	};

	return cmocka_run_group_tests_name("loader objects", tests, NULL, NULL);
}
