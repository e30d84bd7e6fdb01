/* SPDX-License-Identifier: MIT */
/* Objects from foreign bytes: what is written is read again, and every broken field is refused. */
#include "pack-test.h"

#include <errno.h>

#include "object.h"

static const uint8_t text[16] = {0x90};
static struct object_reloc relocs[] = {{4, R_X86_64_PC32, 3, -4}, {8, R_X86_64_64, 1, 7}};

static void make(struct buf *out)
{
	const struct object_section sections[] = {
		{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16, 0, 16, text, relocs, 2},
		{".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 64, 0, 4096, NULL, NULL, 0},
	};
	const struct object_symbol symbols[] = {
		{"", "", STB_LOCAL, STT_NOTYPE, OBJECT_UNDEFINED, OBJECT_NONE, 0, 0},
		{"", "", STB_LOCAL, STT_SECTION, OBJECT_DEFINED, 0, 0, 0},
		{"f", "", STB_GLOBAL, STT_FUNC, OBJECT_DEFINED, 0, 2, 8},
		{"g", "", STB_GLOBAL, STT_NOTYPE, OBJECT_UNDEFINED, OBJECT_NONE, 0, 0},
		{"c", "", STB_GLOBAL, STT_OBJECT, OBJECT_COMMON, OBJECT_NONE, 8, 8},
	};
	struct object o = {0};

	for (size_t i = 0; i < 2; i++)
		assert_int_not_equal(object_section_add(&o, &sections[i]), OBJECT_NONE);
	for (size_t i = 0; i < 5; i++)
		assert_int_not_equal(object_symbol_add(&o, &symbols[i]), OBJECT_NONE);
	assert_int_equal(object_write(&o, out), 0);
	object_done(&o);
}

static void test_round_trip(void **state)
{
	struct buf bytes = {0}, again = {0};
	struct object o;

	(void)state;
	make(&bytes);
	assert_int_equal(object_parse("o", bytes.data, bytes.len, &o, NULL), 0);
	assert_int_equal(o.n_sections, 2);
	assert_int_equal(o.n_symbols, 5);
	assert_int_equal(object_section_find(&o, ".bss"), 1);
	assert_int_equal(object_section_find(&o, ".data"), OBJECT_NONE);
	assert_int_equal(o.sections[1].size, 4096);
	assert_null(o.sections[1].data);
	assert_memory_equal(o.sections[0].data, text, 16);
	assert_int_equal(o.sections[0].n_relocs, 2);
	assert_int_equal(o.sections[0].relocs[0].addend, -4);
	assert_string_equal(o.symbols[o.sections[0].relocs[0].symbol].name, "g");
	assert_int_equal(o.symbols[2].place, OBJECT_DEFINED);
	assert_int_equal(o.symbols[4].place, OBJECT_COMMON);
	assert_int_equal(object_write(&o, &again), 0);
	assert_int_equal(again.len, bytes.len);
	assert_memory_equal(again.data, bytes.data, bytes.len);
	object_done(&o);
	buf_done(&bytes);
	buf_done(&again);
}

/* A local symbol behind a global one cannot be written. */
static void test_symbol_order(void **state)
{
	struct buf bytes = {0}, again = {0};
	struct object o;

	(void)state;
	make(&bytes);
	assert_int_equal(object_parse("o", bytes.data, bytes.len, &o, NULL), 0);
	assert_int_equal(object_symbol_add(&o, &o.symbols[1]), 5);
	assert_int_equal(object_write(&o, &again), -EINVAL);
	object_done(&o);
	buf_done(&bytes);
	buf_done(&again);
}

static Elf64_Ehdr *eh(struct buf *b)
{
	return (Elf64_Ehdr *)(void *)b->data;
}

/* Sections of the test object: 1 .text, 2 .bss, 3 .symtab, 4 .rela.text, 5 .strtab. */
static Elf64_Shdr *sh(struct buf *b, unsigned int i)
{
	return (Elf64_Shdr *)(void *)(b->data + eh(b)->e_shoff) + i;
}

static Elf64_Sym *sym(struct buf *b, unsigned int i)
{
	return (Elf64_Sym *)(void *)(b->data + sh(b, 3)->sh_offset) + i;
}

static Elf64_Rela *rela(struct buf *b, unsigned int i)
{
	return (Elf64_Rela *)(void *)(b->data + sh(b, 4)->sh_offset) + i;
}

static void expect_refused(struct buf *b, const char *words)
{
	struct reasons reasons = {0};
	struct object o;

	if (object_parse("o", b->data, b->len, &o, &reasons) != -EPERM)
		fail_msg("not refused: %s", words);
	assert_string_equal(reasons.code, "bad-object");
	if (!strstr(reasons_first(&reasons), words))
		fail_msg("\"%s\" says nothing of \"%s\"", reasons_first(&reasons), words);
	reasons_done(&reasons);
	buf_done(b);
}

static void test_refusals(void **state)
{
	struct buf b = {0};

	(void)state;
#define BAD(change, words)                                                                         \
	do {                                                                                       \
		make(&b);                                                                          \
		change;                                                                            \
		expect_refused(&b, words);                                                         \
	} while (0)
	BAD(b.len = 40, "not an ELF object");
	BAD(b.data[0] = 0, "not an ELF object");
	BAD(eh(&b)->e_machine = EM_AARCH64, "another machine");
	BAD(eh(&b)->e_ident[EI_CLASS] = ELFCLASS32, "another machine");
	BAD(eh(&b)->e_ident[EI_DATA] = ELFDATA2MSB, "another machine");
	BAD(eh(&b)->e_type = ET_DYN, "not a relocatable object");
	BAD(eh(&b)->e_version = 2, "not a relocatable object");
	BAD(eh(&b)->e_shentsize = 65, "section table is broken");
	BAD(eh(&b)->e_shnum = 0, "section table is broken");
	BAD(eh(&b)->e_shstrndx = 6, "section table is broken");
	BAD(eh(&b)->e_shoff = b.len, "outside the file");
	BAD(eh(&b)->e_shoff = UINT64_MAX - 63, "outside the file");
	BAD(sh(&b, 1)->sh_offset = b.len, "outside the file");
	BAD(sh(&b, 1)->sh_size = UINT64_MAX, "outside the file");
	BAD(sh(&b, 1)->sh_addralign = 3, "no power of two");
	BAD(sh(&b, 1)->sh_name = 0x7fffffff, "no proper name");
	BAD(sh(&b, 5)->sh_size = 3, "no proper name");
	BAD(sh(&b, 1)->sh_type = SHT_SYMTAB, "two symbol tables");
	BAD(sh(&b, 2)->sh_type = SHT_SYMTAB_SHNDX; sh(&b, 2)->sh_size = 0, "can be numbered");
	BAD(sh(&b, 3)->sh_entsize = 16, "symbol table is broken");
	BAD(sh(&b, 3)->sh_size -= 1, "symbol table is broken");
	BAD(sh(&b, 3)->sh_link = 1, "no proper name");
	BAD(sym(&b, 2)->st_name = 0x7fffffff, "no proper name");
	BAD(sym(&b, 2)->st_shndx = 6, "names section");
	BAD(sh(&b, 4)->sh_info = 9, "broken");
	BAD(sh(&b, 4)->sh_info = 3, "broken");
	BAD(sh(&b, 4)->sh_link = 1, "broken");
	BAD(sh(&b, 4)->sh_entsize = 8, "broken");
	BAD(sh(&b, 4)->sh_size -= 3, "broken");
	BAD(sh(&b, 4)->sh_type = SHT_REL, "without addends");
	BAD(rela(&b, 0)->r_offset = 16, "outside of it");
	BAD(rela(&b, 1)->r_info = ELF64_R_INFO(5ull, R_X86_64_64), "names symbol");
#undef BAD
}

static void test_names_of_types(void **state)
{
	(void)state;
	assert_string_equal(object_reloc_name(R_X86_64_PLT32), "R_X86_64_PLT32");
	assert_null(object_reloc_name(200));
	assert_null(object_reloc_name(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_symbol_order),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_names_of_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
