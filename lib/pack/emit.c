/* SPDX-License-Identifier: MIT */
/* The linked object becomes the packed one: few sections, few symbols, few relocations. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t flags_of(enum pack_section kind)
{
	switch (kind) {
	case PACK_TEXT:
		return SHF_ALLOC | SHF_EXECINSTR;
	case PACK_RELRO: /* writable until it is relocated, then sealed */
	case PACK_STATE:
		return SHF_ALLOC | SHF_WRITE;
	default:
		return SHF_ALLOC;
	}
}

struct emit {
	struct pack *p;
	uint32_t *section_map; /* linked section -> packed section or OBJECT_NONE */
	uint32_t *symbol_map;  /* linked symbol -> packed symbol or OBJECT_NONE */
	uint8_t *symbol_kept;  /* linked symbols that a relocation or the manifest names */
};

/* Bytes up to the last one that is not zero. */
static size_t content_size(const uint8_t *data, size_t size)
{
	while (size && !data[size - 1])
		size--;
	return size;
}

/*
 * Rings and tables make states large and mostly zero: zeros are not stored. Sections of a
 * region lie behind one another in the order of their numbers, so a second section without
 * bytes and alignment continues the state where its first one ends.
 */
#define STATE_TAIL_MIN 256u

static int add_state_tail(struct emit *e, const struct object_section *head, uint64_t bytes)
{
	const struct object_section tail = {
		.name = PACK_STATE_TAIL,
		.type = SHT_NOBITS,
		.flags = head->flags,
		.align = 1,
		.size = bytes,
	};

	return object_section_add(&e->p->out, &tail) == OBJECT_NONE ? -ENOMEM : 0;
}

/* Copies a section's content: relocation writes into it. */
static int copy_section(struct emit *e, uint32_t at, enum pack_section kind)
{
	const struct object_section *from = &e->p->linked.sections[at];
	struct object_section s = {
		.name = pack_section_names[kind],
		.type = SHT_PROGBITS,
		.flags = flags_of(kind),
		.align = from->align,
		.size = from->size,
	};
	uint8_t *content = NULL;
	uint32_t index;

	if (kind == PACK_STATE && from->data) {
		size_t bytes = content_size(from->data, from->size);

		if (!bytes || from->size - bytes >= STATE_TAIL_MIN)
			s.size = bytes;
	}
	if (!from->data || !s.size) {
		s.type = SHT_NOBITS;
		s.size = from->size;
	} else {
		content = malloc(from->size);
		if (!content)
			return -ENOMEM;
		memcpy(content, from->data, from->size);
		s.data = content;
	}
	index = object_section_add(&e->p->out, &s);
	if (index == OBJECT_NONE) {
		free(content);
		return -ENOMEM;
	}
	e->p->contents[index] = content;
	e->section_map[at] = index;
	return s.size < from->size ? add_state_tail(e, &s, from->size - s.size) : 0;
}

static int copy_sections(struct emit *e)
{
	const struct object *o = &e->p->linked;

	e->p->contents = calloc(_PACK_SECTION_MAX + 1, sizeof(*e->p->contents));
	if (!e->p->contents)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_sections; i++)
		e->section_map[i] = OBJECT_NONE;
	for (int kind = 0; kind < _PACK_SECTION_MAX; kind++) {
		uint32_t at = object_section_find(o, pack_section_names[kind]);
		int r = 0;

		if (at != OBJECT_NONE && o->sections[at].size)
			r = copy_section(e, at, (enum pack_section)kind);
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse(struct emit *e, const struct object_section *s, const struct object_reloc *r,
		  const char *why)
{
	return reasons_add(e->p->reasons, "bad-relocation",
			   "%s: section %s+0x%llx: %s against %s: %s", e->p->files[0].path, s->name,
			   (unsigned long long)r->offset, object_reloc_name(r->type),
			   e->p->linked.symbols[r->symbol].name, why);
}

static void put_le32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

/*
 * A reference to 0. Data already holds the addend; a call or jump becomes ud2 and a nop of
 * three bytes; a load through the GOT becomes "mov $0, reg".
 */
static int apply_zero(struct emit *e, const struct object_section *s, const struct object_reloc *r,
		      uint8_t *content)
{
	static const uint8_t trap[5] = {0x0f, 0x0b, 0x0f, 0x1f, 0x00};
	uint8_t *at = content + r->offset;

	if (r->type == R_X86_64_64 && r->addend == 0)
		return 0;
	if (r->type == R_X86_64_PLT32 && r->offset >= 1 && (at[-1] == 0xe8 || at[-1] == 0xe9)) {
		memcpy(at - 1, trap, sizeof(trap));
		return 0;
	}
	if (r->type == R_X86_64_REX_GOTPCRELX && r->offset >= 3 && at[-2] == 0x8b &&
	    (at[-3] & 0xf8) == 0x48) {
		uint8_t reg = (at[-1] >> 3) & 7;

		at[-3] = (uint8_t)(0x48 | ((at[-3] & 4) >> 2)); /* REX.R becomes REX.B */
		at[-2] = 0xc7;
		at[-1] = (uint8_t)(0xc0 | reg);
		put_le32(at, 0);
		return 0;
	}
	return refuse(e, s, r, "nothing provides this symbol");
}

/*
 * GOTPCRELX marks instructions whose use of the GOT may be undone: mov becomes lea, an
 * indirect call becomes a direct one behind a prefix, an indirect jump a direct one and a
 * nop. Result: whether the relocation is now R_X86_64_PC32.
 */
static bool relax_got(struct object_reloc *r, uint8_t *content)
{
	uint8_t *at = content + r->offset;

	if ((r->type != R_X86_64_GOTPCRELX && r->type != R_X86_64_REX_GOTPCRELX) || r->offset < 2 ||
	    r->addend != -4)
		return false;
	if (at[-2] == 0x8b) {
		at[-2] = 0x8d;
	} else if (r->type == R_X86_64_GOTPCRELX && at[-2] == 0xff && at[-1] == 0x15) {
		at[-2] = 0x67;
		at[-1] = 0xe8;
	} else if (r->type == R_X86_64_GOTPCRELX && at[-2] == 0xff && at[-1] == 0x25) {
		at[-2] = 0xe9;
		r->offset--; /* the displacement moves up by one, the instruction's end does too */
		at[3] = 0x90;
	} else {
		return false;
	}
	r->type = R_X86_64_PC32;
	return true;
}

static bool is_got(uint32_t type)
{
	return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
	       type == R_X86_64_REX_GOTPCRELX;
}

/* A distance inside one section is known now. Result: 0, or -ERANGE. */
static int apply_local(const struct object_reloc *r, uint64_t target, uint8_t *content)
{
	int64_t value = (int64_t)(target + (uint64_t)r->addend - r->offset);

	put_le32(content + r->offset, (uint32_t)value);
	if (r->type == R_X86_64_PC64)
		put_le32(content + r->offset + 4, (uint32_t)((uint64_t)value >> 32));
	else if (value != (int32_t)value)
		return -ERANGE;
	return 0;
}

/* Relocation against something the cell itself defines. Result: 1 keep, 0 done, -EPERM. */
static int emit_defined(struct emit *e, uint32_t section, struct object_reloc *r, uint8_t *content)
{
	const struct object_symbol *s = &e->p->linked.symbols[r->symbol];
	uint32_t to = e->section_map[s->section];

	if (to == OBJECT_NONE)
		return refuse(e, &e->p->out.sections[section], r,
			      "it refers to a section that is no part of a packed cell");
	if (is_got(r->type) && !relax_got(r, content)) {
		e->symbol_kept[r->symbol] = 1;
		return 1;
	}
	if (r->type == R_X86_64_PLT32)
		r->type = R_X86_64_PC32;
	if (to == section && r->type != R_X86_64_64) {
		if (apply_local(r, s->value, content) < 0)
			return refuse(e, &e->p->out.sections[section], r, "out of range");
		return 0;
	}
	r->addend += (int64_t)s->value;
	r->symbol = to + 1; /* section symbols follow the empty one, in order */
	return 2;
}

/* One relocation: kept, changed, or applied and dropped. Results as above; 2 = symbol is final. */
static int emit_reloc(struct emit *e, uint32_t section, struct object_reloc *r, uint8_t *content)
{
	const struct object_symbol *s = &e->p->linked.symbols[r->symbol];

	if (r->type == R_X86_64_NONE)
		return 0;
	if (s->place == OBJECT_DEFINED)
		return emit_defined(e, section, r, content);
	if (s->place != OBJECT_UNDEFINED || !*s->name)
		return refuse(e, &e->p->out.sections[section], r, "an absolute symbol");
	if (pack_resolves_to_zero(e->p, s))
		return apply_zero(e, &e->p->out.sections[section], r, content);
	(void)relax_got(r, content);
	e->symbol_kept[r->symbol] = 1;
	return 1;
}

/* Which kept relocations still name a symbol of the linked object: high bit of `symbol`. */
#define LINKED_SYMBOL 0x80000000u

static int emit_relocs(struct emit *e, uint32_t from, uint32_t section)
{
	const struct object_section *s = &e->p->linked.sections[from];
	struct object_section *out = &e->p->out.sections[section];
	uint8_t *content = e->p->contents[section];
	int all = 0;

	if (!s->n_relocs)
		return 0;
	free(out->relocs);
	out->relocs = calloc(s->n_relocs, sizeof(*out->relocs));
	if (!out->relocs)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_relocs; i++) {
		struct object_reloc r = s->relocs[i];
		int kept = emit_reloc(e, section, &r, content);

		if (kept < 0)
			all = kept;
		if (kept == 1)
			r.symbol |= LINKED_SYMBOL;
		if (kept > 0)
			out->relocs[out->n_relocs++] = r;
	}
	return all;
}

static int add_symbol(struct emit *e, size_t linked, uint8_t bind)
{
	struct object_symbol s = e->p->linked.symbols[linked];

	s.bind = bind;
	if (s.place == OBJECT_DEFINED)
		s.section = e->section_map[s.section];
	e->symbol_map[linked] = object_symbol_add(&e->p->out, &s);
	return e->symbol_map[linked] == OBJECT_NONE ? -ENOMEM : 0;
}

/* Whether the manifest names a global of the cell. */
static bool is_public(const Theseus__Cell *c, const char *name)
{
	for (size_t i = 0; i < c->n_exports; i++)
		if (strcmp(c->exports[i]->name, name) == 0)
			return true;
	for (size_t i = 0; i < c->n_provides; i++)
		if (strcmp(c->provides[i]->symbol, name) == 0)
			return true;
	return false;
}

static int add_section_symbols(struct emit *e)
{
	struct object_symbol s = {
		.name = "", .file = "", .place = OBJECT_UNDEFINED, .section = OBJECT_NONE};

	if (object_symbol_add(&e->p->out, &s) == OBJECT_NONE)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->p->out.n_sections; i++) {
		s = (struct object_symbol){.name = "",
					   .file = "",
					   .bind = STB_LOCAL,
					   .type = STT_SECTION,
					   .place = OBJECT_DEFINED,
					   .section = i};
		if (object_symbol_add(&e->p->out, &s) == OBJECT_NONE)
			return -ENOMEM;
	}
	return 0;
}

/* Locals: functions, for backtraces, and what a GOT entry must name. */
static bool is_local(const struct emit *e, size_t at)
{
	const struct object_symbol *s = &e->p->linked.symbols[at];

	return s->place == OBJECT_DEFINED && s->type != STT_SECTION &&
	       e->section_map[s->section] != OBJECT_NONE &&
	       (s->bind == STB_LOCAL || !is_public(e->p->cell, s->name)) &&
	       (s->type == STT_FUNC || e->symbol_kept[at]);
}

static int add_import(struct emit *e, const struct object_symbol *s)
{
	const struct abi_entry *d = pack_declared(e->p, ABI_FUNCTION, s->name);
	Theseus__Cell *c = e->p->cell;
	Theseus__Import *i;

	if (!d) /* pack_check() has seen to it that there is one */
		return -EINVAL;
	i = malloc(sizeof(*i));
	if (!i)
		return -ENOMEM;
	theseus__import__init(i);
	i->abi = d->hash;
	i->name = strdup(s->name);
	c->imports[c->n_imports++] = i;
	return i->name ? 0 : -ENOMEM;
}

static int by_import(const void *a, const void *b)
{
	return strcmp((*(Theseus__Import *const *)a)->name, (*(Theseus__Import *const *)b)->name);
}

static int add_symbols(struct emit *e)
{
	const struct object *o = &e->p->linked;
	int r = 0;

	e->p->cell->imports = calloc(o->n_symbols, sizeof(*e->p->cell->imports));
	if (!e->p->cell->imports)
		return -ENOMEM;
	for (size_t i = 1; i < o->n_symbols && r == 0; i++)
		if (is_local(e, i))
			r = add_symbol(e, i, STB_LOCAL);
	for (size_t i = 1; i < o->n_symbols && r == 0; i++)
		if (o->symbols[i].place == OBJECT_DEFINED && o->symbols[i].bind != STB_LOCAL &&
		    is_public(e->p->cell, o->symbols[i].name))
			r = add_symbol(e, i, STB_GLOBAL);
	for (size_t i = 1; i < o->n_symbols && r == 0; i++) {
		const struct object_symbol *s = &o->symbols[i];

		if (s->place != OBJECT_UNDEFINED || !e->symbol_kept[i])
			continue;
		r = add_symbol(e, i, STB_GLOBAL);
		if (r == 0 && !pack_is_slot(s->name))
			r = add_import(e, s);
	}
	if (r == 0 && e->p->cell->n_imports)
		qsort(e->p->cell->imports, e->p->cell->n_imports, sizeof(*e->p->cell->imports),
		      by_import);
	return r;
}

static void bind_relocs(struct emit *e)
{
	for (size_t i = 0; i < e->p->out.n_sections; i++) {
		struct object_section *s = &e->p->out.sections[i];

		for (size_t k = 0; k < s->n_relocs; k++)
			if (s->relocs[k].symbol & LINKED_SYMBOL)
				s->relocs[k].symbol =
					e->symbol_map[s->relocs[k].symbol & ~LINKED_SYMBOL];
	}
}

static int emit_all(struct emit *e)
{
	const struct object *o = &e->p->linked;
	int r = copy_sections(e), all = 0;

	for (size_t i = 0; r == 0 && i < o->n_sections; i++)
		if (e->section_map[i] != OBJECT_NONE && e->p->contents[e->section_map[i]]) {
			int bad = emit_relocs(e, (uint32_t)i, e->section_map[i]);

			all = bad < 0 ? bad : all;
		}
	if (r == 0)
		r = add_section_symbols(e);
	if (r == 0)
		r = add_symbols(e);
	if (r == 0)
		bind_relocs(e);
	return r < 0 ? r : all;
}

int pack_emit(struct pack *p)
{
	struct emit e = {
		.p = p,
		.section_map = calloc(p->linked.n_sections + 1, sizeof(uint32_t)),
		.symbol_map = calloc(p->linked.n_symbols, sizeof(uint32_t)),
		.symbol_kept = calloc(p->linked.n_symbols, 1),
	};
	int r = -ENOMEM;

	if (e.section_map && e.symbol_map && e.symbol_kept)
		r = emit_all(&e);
	free(e.section_map);
	free(e.symbol_map);
	free(e.symbol_kept);
	return r;
}
