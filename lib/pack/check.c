/* SPDX-License-Identifier: MIT */
/*
 * What a cell may not contain. A swap can carry only state that it can see, W^X leaves no
 * place for data that is written outside it, and the loader knows seven relocations.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

const char *pack_definer(const struct pack *p, const struct object_symbol *s)
{
	if (*s->file)
		return s->file;
	for (size_t i = 0; i < p->n_files; i++) {
		const struct object *o = &p->files[i].object;

		for (size_t k = 1; k < o->n_symbols; k++)
			if (o->symbols[k].bind != STB_LOCAL &&
			    o->symbols[k].place != OBJECT_UNDEFINED &&
			    strcmp(o->symbols[k].name, s->name) == 0)
				return p->files[i].path;
	}
	return "a foreign archive";
}

/* Path of the object that uses the undefined symbol @name. */
static const char *user_of(const struct pack *p, const char *name)
{
	for (size_t i = 0; i < p->n_files; i++) {
		const struct object *o = &p->files[i].object;

		for (size_t k = 1; k < o->n_symbols; k++)
			if (o->symbols[k].place == OBJECT_UNDEFINED &&
			    strcmp(o->symbols[k].name, name) == 0)
				return p->files[i].path;
	}
	return "a foreign archive";
}

static int refuse_section(struct pack *p, uint32_t at, const char *code, const char *why)
{
	const struct object *o = &p->linked;
	const char *section = o->sections[at].name;
	int r = 0;

	for (size_t i = 1; i < o->n_symbols; i++) {
		const struct object_symbol *s = &o->symbols[i];

		if (s->place == OBJECT_DEFINED && s->section == at && s->type != STT_SECTION &&
		    *s->name)
			r = reasons_add(p->reasons, code, "%s: section %s, symbol %s: %s",
					pack_definer(p, s), section, s->name, why);
	}
	return r ? r
		 : reasons_add(p->reasons, code, "%s: section %s: %s", p->files[0].path, section,
			       why);
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static int check_section(struct pack *p, uint32_t at)
{
	const struct object_section *s = &p->linked.sections[at];

	if (!(s->flags & SHF_ALLOC) || s->size == 0)
		return 0;
	if (s->flags & SHF_TLS)
		return refuse_section(p, at, "tls", "a cell has no thread-local storage");
	if (pack_section_of(s->name) == PACK_TEXT && (s->flags & SHF_WRITE))
		return refuse_section(p, at, "bad-section", "writable text");
	if (pack_section_of(s->name) != _PACK_SECTION_INVALID || starts_with(s->name, ".note.") ||
	    strcmp(s->name, ".theseus.info") == 0 || strcmp(s->name, ".theseus.exports") == 0 ||
	    strcmp(s->name, ".theseus.provides") == 0 || strcmp(s->name, ".theseus.consumes") == 0)
		return 0;
	if (starts_with(s->name, ".init_array") || starts_with(s->name, ".fini_array") ||
	    starts_with(s->name, ".ctors") || starts_with(s->name, ".dtors") ||
	    starts_with(s->name, ".preinit_array"))
		return refuse_section(p, at, "constructor",
				      "a cell has no constructors: use the init of cell_ops");
	if (s->flags & SHF_WRITE)
		return refuse_section(p, at, "writable-data",
				      "mutable data outside CELL_STATE would be lost by a swap");
	return refuse_section(p, at, "bad-section", "a cell has no such section");
}

bool pack_is_slot(const char *name)
{
	return starts_with(name, "__slot_");
}

bool pack_resolves_to_zero(const struct pack *p, const struct object_symbol *s)
{
	if (s->place != OBJECT_UNDEFINED || pack_is_slot(s->name) ||
	    pack_declared(p, ABI_FUNCTION, s->name))
		return false;
	/* the assembler names the GOT whenever it uses GOTPCREL; no relocation refers to it */
	return s->bind == STB_WEAK || strcmp(s->name, "_GLOBAL_OFFSET_TABLE_") == 0;
}

static int check_import(struct pack *p, const struct object_symbol *s)
{
	if (s->place != OBJECT_UNDEFINED || !*s->name || s->type == STT_TLS ||
	    pack_is_slot(s->name) || pack_resolves_to_zero(p, s) ||
	    pack_declared(p, ABI_FUNCTION, s->name))
		return 0;
	return reasons_add(p->reasons, "undeclared-import",
			   "%s: import %s is declared in no public header of the SDK or of a cell",
			   user_of(p, s->name), s->name);
}

static int check_symbol(struct pack *p, const struct object_symbol *s)
{
	if (s->place == OBJECT_COMMON)
		return reasons_add(p->reasons, "common-symbol",
				   "%s: symbol %s is common (compile with -fno-common)",
				   pack_definer(p, s), s->name);
	if (s->type == STT_GNU_IFUNC)
		return reasons_add(p->reasons, "ifunc", "%s: symbol %s is an indirect function",
				   pack_definer(p, s), s->name);
	if (s->type == STT_TLS)
		return reasons_add(p->reasons, "tls", "%s: symbol %s is thread-local",
				   s->place == OBJECT_UNDEFINED ? p->files[0].path
								: pack_definer(p, s),
				   s->name);
	if (strlen(s->name) >= 64 && s->bind != STB_LOCAL)
		return reasons_add(p->reasons, "bad-object", "%s: symbol %s: the name is too long",
				   pack_definer(p, s), s->name);
	return 0;
}

/* The function or object that covers @offset, for messages. */
static const struct object_symbol *symbol_around(const struct pack *p, uint32_t section,
						 uint64_t offset)
{
	const struct object *o = &p->linked;
	const struct object_symbol *best = NULL;

	for (size_t i = 1; i < o->n_symbols; i++) {
		const struct object_symbol *s = &o->symbols[i];

		if (s->place == OBJECT_DEFINED && s->section == section && s->type != STT_SECTION &&
		    *s->name && s->value <= offset && (!best || s->value >= best->value))
			best = s;
	}
	return best;
}

static const char *reloc_fault(const struct object_section *s, const struct object_reloc *r)
{
	unsigned int bytes = 4;

	switch (r->type) {
	case R_X86_64_64:
	case R_X86_64_PC64:
		bytes = 8;
		break;
	case R_X86_64_PC32:
	case R_X86_64_PLT32:
	case R_X86_64_GOTPCREL:
	case R_X86_64_GOTPCRELX:
	case R_X86_64_REX_GOTPCRELX:
		break;
	case R_X86_64_NONE:
		return NULL;
	case R_X86_64_32:
	case R_X86_64_32S:
		return "cells lie above 4 GiB (compile with -fPIE)";
	case R_X86_64_DTPMOD64:
	case R_X86_64_DTPOFF64:
	case R_X86_64_TPOFF64:
	case R_X86_64_TLSGD:
	case R_X86_64_TLSLD:
	case R_X86_64_DTPOFF32:
	case R_X86_64_GOTTPOFF:
	case R_X86_64_TPOFF32:
	case R_X86_64_GOTPC32_TLSDESC:
	case R_X86_64_TLSDESC_CALL:
	case R_X86_64_TLSDESC:
		return "a cell has no thread-local storage";
	default:
		return "the loader does not know this relocation";
	}
	return s->size < bytes || r->offset > s->size - bytes ? "it reaches past the section's end"
							      : NULL;
}

static int check_relocs(struct pack *p, uint32_t at)
{
	const struct object_section *s = &p->linked.sections[at];
	bool state = pack_section_of(s->name) == PACK_STATE;
	int e = 0;

	if (pack_section_of(s->name) == _PACK_SECTION_INVALID)
		return 0;
	for (size_t i = 0; i < s->n_relocs; i++) {
		const struct object_reloc *r = &s->relocs[i];
		const struct object_symbol *to = &p->linked.symbols[r->symbol];
		const char *why = reloc_fault(s, r), *type = object_reloc_name(r->type);
		const struct object_symbol *in;
		char number[24];

		if (!why && !(state && r->type != R_X86_64_NONE))
			continue;
		in = symbol_around(p, at, r->offset);
		(void)snprintf(number, sizeof(number), "type %u", r->type);
		e = reasons_add(p->reasons, state ? "state-relocation" : "bad-relocation",
				"%s: section %s+0x%llx (in %s): %s against %s: %s",
				in ? pack_definer(p, in) : p->files[0].path, s->name,
				(unsigned long long)r->offset, in ? in->name : "no symbol",
				type ? type : number, *to->name ? to->name : "a section",
				state ? "state outlives the code, so it holds no address" : why);
	}
	return e;
}

int pack_check(struct pack *p)
{
	int r = 0, all = 0;

	for (uint32_t i = 0; i < p->linked.n_sections; i++) {
		r = check_section(p, i);
		all = r < 0 ? r : all;
	}
	for (uint32_t i = 0; i < p->linked.n_sections; i++) {
		r = check_relocs(p, i);
		all = r < 0 ? r : all;
	}
	for (size_t i = 1; i < p->linked.n_symbols; i++) {
		r = check_symbol(p, &p->linked.symbols[i]);
		all = r < 0 ? r : all;
		r = check_import(p, &p->linked.symbols[i]);
		all = r < 0 ? r : all;
	}
	return all;
}
