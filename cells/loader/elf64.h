/* SPDX-License-Identifier: MIT */
/* The parts of the ELF-64 and x86-64 psABI formats that cells are made of. */
#ifndef THESEUS_LOADER_ELF64_H
#define THESEUS_LOADER_ELF64_H

#include <stdint.h>

struct elf64_ehdr {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf64_shdr {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t addralign, entsize;
};

struct elf64_sym {
	uint32_t name;
	uint8_t info, other;
	uint16_t shndx;
	uint64_t value, size;
};

struct elf64_rela {
	uint64_t offset, info;
	int64_t addend;
};

_Static_assert(sizeof(struct elf64_ehdr) == 64 && sizeof(struct elf64_shdr) == 64 &&
		       sizeof(struct elf64_sym) == 24 && sizeof(struct elf64_rela) == 24,
	       "file format");

#define ELF_CLASS64 2
#define ELF_DATA_LSB 1
#define ELF_VERSION_CURRENT 1
#define ELF_TYPE_REL 1
#define ELF_MACHINE_X86_64 62

enum elf_section_type {
	SHT_NULL = 0, SHT_PROGBITS = 1, SHT_SYMTAB = 2, SHT_STRTAB = 3, SHT_RELA = 4, SHT_NOTE = 7,
	SHT_NOBITS = 8, SHT_REL = 9, SHT_INIT_ARRAY = 14, SHT_FINI_ARRAY = 15,
	SHT_PREINIT_ARRAY = 16, SHT_GROUP = 17, SHT_SYMTAB_SHNDX = 18,
	SHT_X86_64_UNWIND = 0x70000001,
};

enum elf_section_flags {
	SHF_WRITE = 1, SHF_ALLOC = 2, SHF_EXECINSTR = 4, SHF_TLS = 0x400, SHF_COMPRESSED = 0x800,
};

#define SHN_UNDEF 0
#define SHN_LORESERVE 0xff00
#define SHN_ABS 0xfff1
#define SHN_COMMON 0xfff2

enum elf_symbol_binding { STB_LOCAL = 0, STB_GLOBAL = 1, STB_WEAK = 2 };

enum elf_symbol_type {
	STT_NOTYPE = 0, STT_OBJECT = 1, STT_FUNC = 2, STT_SECTION = 3, STT_FILE = 4, STT_COMMON = 5,
	STT_TLS = 6, STT_GNU_IFUNC = 10,
};

enum elf_relocation {
	R_X86_64_NONE = 0, R_X86_64_64 = 1, R_X86_64_PC32 = 2, R_X86_64_GOT32 = 3, R_X86_64_PLT32 = 4,
	R_X86_64_GOTPCREL = 9, R_X86_64_32 = 10, R_X86_64_32S = 11, R_X86_64_TLSGD = 19,
	R_X86_64_TLSLD = 20, R_X86_64_GOTTPOFF = 22, R_X86_64_TPOFF32 = 23, R_X86_64_PC64 = 24,
	R_X86_64_GOTOFF64 = 25, R_X86_64_GOTPC32 = 26, R_X86_64_GOTPCRELX = 41,
	R_X86_64_REX_GOTPCRELX = 42,
};

#endif
