/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <theseus/errno.h>

#define GOT_ENTRY 8u

size_t layout_arena_bytes(const struct object *o)
{
	size_t bytes = o->n_sections * sizeof(struct link_place) + o->n_symbols * sizeof(uint32_t);

	return (bytes + 7) & ~(size_t)7;
}

/* Written by relocation only, then never again. */
static bool is_relro(struct slice name)
{
	return slice_starts(name, ".data.rel.ro") ||
	       slice_starts(name, ".data.rel.local.DW.ref.") ||
	       slice_starts(name, ".data.DW.ref.") || slice_is(name, ".eh_frame") ||
	       slice_starts(name, ".gcc_except_table");
}

static enum link_region region_of(const struct object *o, const struct elf64_shdr *s)
{
	if (!(s->flags & SHF_ALLOC) || s->size == 0)
		return LINK_REGIONS;
	if (s->flags & SHF_EXECINSTR)
		return LINK_TEXT;
	if ((s->flags & SHF_WRITE) && !is_relro(object_section_name(o, s)))
		return LINK_STATE;
	return LINK_RODATA;
}

static int too_large(const struct object *o, struct loader_report *report)
{
	report_add(report, "bad-object", "%.*s: a region would be larger than %u bytes",
		   SLICE_ARG(o->cell), LINK_REGION_MAX);
	return -EINVAL;
}

static int place_sections(const struct object *o, struct link_layout *l,
			  struct loader_report *report)
{
	for (uint32_t i = 0; i < o->n_sections; i++) {
		struct elf64_shdr s = object_section(o, i);
		enum link_region region = region_of(o, &s);
		uint64_t align = s.addralign ? s.addralign : 1, at;

		l->places[i] = (struct link_place){LINK_REGIONS, 0};
		if (region == LINK_REGIONS)
			continue;
		/* both terms are bounded by object_open(), so the sum cannot wrap */
		at = (l->bytes[region] + align - 1) & ~(align - 1);
		if (at + s.size > LINK_REGION_MAX)
			return too_large(o, report);
		l->places[i] = (struct link_place){region, (uint32_t)at};
		l->bytes[region] = at + s.size;
	}
	return 0;
}

static bool needs_got(uint32_t type)
{
	return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
	       type == R_X86_64_REX_GOTPCRELX;
}

static void number_got(const struct object *o, struct link_layout *l)
{
	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct elf64_shdr s = object_section(o, i);
		struct slice data = object_section_data(o, &s);
		struct elf64_rela r;

		if (s.type != SHT_RELA || l->places[s.info].region == LINK_REGIONS)
			continue;
		for (uint64_t at = 0; slice_copy(data, at, &r, sizeof(r)); at += sizeof(r)) {
			uint32_t *index = &l->got_index[r.info >> 32];

			if (needs_got((uint32_t)r.info) && *index == LINK_NO_GOT)
				*index = ++l->n_got;
		}
	}
}

static bool has_weak_undefined(const struct object *o)
{
	for (uint32_t i = o->first_global; i < o->n_symbols; i++) {
		struct elf64_sym s = object_symbol(o, i);

		if (s.shndx == SHN_UNDEF && elf_symbol_binding(&s) == STB_WEAK)
			return true;
	}
	return false;
}

int layout_create(const struct object *o, void *arena, struct link_layout *ret_layout,
		  struct loader_report *report)
{
	struct link_layout l = {.places = arena};
	int r;

	l.got_index = (uint32_t *)(l.places + o->n_sections);
	memset(arena, 0, layout_arena_bytes(o));
	r = place_sections(o, &l, report);
	if (r < 0)
		return r;
	number_got(o, &l);
	l.got = (l.bytes[LINK_RODATA] + GOT_ENTRY - 1) & ~(uint64_t)(GOT_ENTRY - 1);
	if (l.n_got)
		l.bytes[LINK_RODATA] = l.got + (uint64_t)l.n_got * GOT_ENTRY;
	if (l.bytes[LINK_TEXT] && has_weak_undefined(o))
		l.weak_trap = (uint32_t)++l.bytes[LINK_TEXT];
	*ret_layout = l;
	return 0;
}

int layout_symbol(const struct link_layout *l, const struct object *o, const struct elf64_sym *s,
		  enum link_region *ret_region, uint64_t *ret_offset)
{
	struct link_place place;

	if (!elf_symbol_is_defined(s) || s->shndx >= o->n_sections)
		return -ENOENT;
	place = l->places[s->shndx];
	if (place.region == LINK_REGIONS)
		return -ENOENT;
	*ret_region = (enum link_region)place.region;
	*ret_offset = place.offset + s->value;
	return 0;
}

#define INT3 0xcc

void link_copy(const struct object *o, const struct link_layout *l,
	       const struct link_memory memory[LINK_REGIONS])
{
	uint64_t done[LINK_REGIONS] = {0};

	/* sections lie in their regions in the order of their indices */
	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct link_place place = l->places[i];
		struct elf64_shdr s;
		struct slice data;
		uint8_t *to;

		if (place.region == LINK_REGIONS || !memory[place.region].bytes)
			continue;
		s = object_section(o, i);
		data = object_section_data(o, &s);
		to = memory[place.region].bytes;
		memset(to + done[place.region], place.region == LINK_TEXT ? INT3 : 0,
		       place.offset - done[place.region]);
		if (data.n)
			memcpy(to + place.offset, data.p, data.n);
		else
			memset(to + place.offset, 0, s.size);
		done[place.region] = place.offset + s.size;
	}
	for (unsigned i = 0; i < LINK_REGIONS; i++) {
		uint64_t end = LINK_PAGES(l->bytes[i]);

		if (memory[i].bytes && end > done[i])
			memset(memory[i].bytes + done[i], i == LINK_TEXT ? INT3 : 0, end - done[i]);
	}
}
