/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <theseus/errno.h>

#define GOT_ENTRY 8u

const char *relocation_name(uint32_t type, char buf[24])
{
	static const struct {
		uint32_t type;
		const char *name;
	} names[] = {
		{R_X86_64_64, "R_X86_64_64"},
		{R_X86_64_PC32, "R_X86_64_PC32"},
		{R_X86_64_GOT32, "R_X86_64_GOT32"},
		{R_X86_64_PLT32, "R_X86_64_PLT32"},
		{R_X86_64_GOTPCREL, "R_X86_64_GOTPCREL"},
		{R_X86_64_32, "R_X86_64_32"},
		{R_X86_64_32S, "R_X86_64_32S"},
		{R_X86_64_TLSGD, "R_X86_64_TLSGD"},
		{R_X86_64_TLSLD, "R_X86_64_TLSLD"},
		{R_X86_64_GOTTPOFF, "R_X86_64_GOTTPOFF"},
		{R_X86_64_TPOFF32, "R_X86_64_TPOFF32"},
		{R_X86_64_PC64, "R_X86_64_PC64"},
		{R_X86_64_GOTOFF64, "R_X86_64_GOTOFF64"},
		{R_X86_64_GOTPC32, "R_X86_64_GOTPC32"},
		{R_X86_64_GOTPCRELX, "R_X86_64_GOTPCRELX"},
		{R_X86_64_REX_GOTPCRELX, "R_X86_64_REX_GOTPCRELX"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].type == type)
			return names[i].name;
	}
	(void)report_format(buf, 24, "type %u", type);
	return buf;
}

bool link_site_is_wide(uint32_t type)
{
	return type == R_X86_64_64 || type == R_X86_64_PC64;
}

uint64_t link_site_value(uint32_t type, int64_t addend, uint64_t addr, uint64_t target)
{
	uint64_t value = target + (uint64_t)addend;

	return type == R_X86_64_64 ? value : value - addr;
}

bool link_site_reaches(uint32_t type, uint64_t value)
{
	return link_site_is_wide(type) || (int64_t)value == (int32_t)value;
}

/* One object being relocated. */
struct run {
	const struct object *o;
	const struct link_layout *l;
	const struct link_memory *memory;
	const struct link_names *names;
	struct loader_report *report;
	int error; /* first one; later reasons are still collected */
};

/* Where a relocation points, found once for it. */
struct target {
	uint64_t addr;
	enum link_region region; /* LINK_REGIONS: of another cell, or nowhere */
	bool import;             /* of another cell */
	bool absent;             /* undefined weak: address 0 */
};

static void fail(struct run *run, int error)
{
	if (run->error == 0)
		run->error = error;
}

static struct slice target_name(const struct run *run, uint32_t symbol)
{
	struct elf64_sym s = object_symbol(run->o, symbol);

	return object_symbol_name(run->o, &s);
}

/* "greeter: .text+0x12: R_X86_64_32S against greeter_greet: …" */
static void refuse(struct run *run, const char *code, uint32_t section, const struct elf64_rela *r,
		   const char *what)
{
	struct elf64_shdr s = object_section(run->o, section);
	struct slice in = object_section_name(run->o, &s);
	struct slice symbol = target_name(run, (uint32_t)(r->info >> 32));
	char buf[24];

	report_add(run->report, code, "%.*s: %.*s+0x%lx: %s against %.*s %s",
		   SLICE_ARG(run->o->cell), SLICE_ARG(in), r->offset,
		   relocation_name((uint32_t)r->info, buf), SLICE_ARG(symbol), what);
	fail(run, -EINVAL);
}

static bool resolve_undefined(struct run *run, uint32_t symbol, const struct elf64_sym *s,
			      struct target *ret)
{
	struct slice name = object_symbol_name(run->o, s);
	int e = run->names->resolve(run->names->ctx, symbol, name, &ret->addr);

	*ret = (struct target){e == 0 ? ret->addr : 0, LINK_REGIONS, e == 0, e != 0};
	if (e == 0 || (e == -ENOENT && elf_symbol_binding(s) == STB_WEAK))
		return true;
	if (e == -ENOENT)
		report_add(run->report, "missing-symbol",
			   "%.*s: symbol %.*s is not defined anywhere", SLICE_ARG(run->o->cell),
			   SLICE_ARG(name));
	fail(run, e == -ENOENT ? -EINVAL : e);
	return false;
}

static bool find_target(struct run *run, uint32_t symbol, struct target *ret)
{
	struct elf64_sym s = object_symbol(run->o, symbol);
	struct slice name;
	uint64_t offset;

	*ret = (struct target){0, LINK_REGIONS, false, true};
	if (symbol == 0)
		return true;
	if (s.shndx == SHN_UNDEF)
		return resolve_undefined(run, symbol, &s, ret);
	if (layout_symbol(run->l, run->o, &s, &ret->region, &offset) == 0) {
		ret->addr = run->memory[ret->region].addr + offset;
		ret->absent = false;
		return true;
	}
	name = object_symbol_name(run->o, &s);
	report_add(run->report, "bad-object",
		   "%.*s: symbol %.*s is used but lies in no loaded section",
		   SLICE_ARG(run->o->cell), SLICE_ARG(name));
	fail(run, -EINVAL);
	return false;
}

static void note_site(struct run *run, uint32_t type, int64_t addend, uint64_t addr,
		      uint32_t section, uint32_t symbol)
{
	struct link_site site = {addr, addend, type, section, symbol};
	int e = 0;

	if (run->names->site)
		e = run->names->site(run->names->ctx, &site);
	if (e < 0)
		fail(run, e);
}

/* Writes a value, or compares it with what stands there. */
static void put(struct run *run, enum link_region region, uint64_t offset, uint64_t value,
		size_t bytes, const char *section)
{
	uint8_t *at = run->memory[region].bytes;

	if (!at)
		return;
	if (!run->names->verify) {
		memcpy(at + offset, &value, bytes);
	} else if (memcmp(at + offset, &value, bytes) != 0) {
		report_add(run->report, "bad-seed",
			   "%.*s: %s at 0x%lx is not linked as its object says",
			   SLICE_ARG(run->o->cell), section, run->memory[region].addr + offset);
		fail(run, -EINVAL);
	}
}

/* How the loader sees a type: PLT32 is PC32, GOT forms are PC32 to the GOT entry. */
static uint32_t basic_type(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_PC64:
	case R_X86_64_PC32:
		return type;
	case R_X86_64_PLT32:
	case R_X86_64_GOTPCREL:
	case R_X86_64_GOTPCRELX:
	case R_X86_64_REX_GOTPCRELX:
		return R_X86_64_PC32;
	default:
		return R_X86_64_NONE;
	}
}

static void apply(struct run *run, uint32_t section, const struct elf64_rela *r)
{
	uint32_t type = basic_type((uint32_t)r->info), symbol = (uint32_t)(r->info >> 32);
	struct link_place place = run->l->places[section];
	uint64_t offset = place.offset + r->offset;
	uint64_t addr = run->memory[place.region].addr + offset, value;
	uint32_t got = run->l->got_index[symbol];
	struct target t;

	if ((uint32_t)r->info == R_X86_64_NONE)
		return;
	if (type == R_X86_64_NONE) {
		refuse(run, "unknown-relocation", section, r, "is not supported");
		return;
	}
	if ((uint32_t)r->info == R_X86_64_GOTPCREL || (uint32_t)r->info == R_X86_64_GOTPCRELX ||
	    (uint32_t)r->info == R_X86_64_REX_GOTPCRELX) {
		t = (struct target){run->memory[LINK_RODATA].addr + run->l->got +
					    (uint64_t)(got - 1) * GOT_ENTRY,
				    LINK_RODATA, false, false};
	} else if (!find_target(run, symbol, &t)) {
		return;
	}
	if (place.region == LINK_STATE && t.region != LINK_STATE) {
		/* state outlives the code: it may point at nothing that a swap replaces */
		refuse(run, "state-address", section, r,
		       "puts an address outside the state into it");
		return;
	}
	if (t.absent && type == R_X86_64_PC32 && run->l->weak_trap)
		t.addr = run->memory[LINK_TEXT].addr + run->l->weak_trap - 1 -
			 (uint64_t)(r->addend + 4);
	value = link_site_value(type, r->addend, addr, t.addr);
	if (!link_site_reaches(type, value)) {
		refuse(run, "relocation-range", section, r, "does not reach its target");
		return;
	}
	put(run, (enum link_region)place.region, offset, value, link_site_is_wide(type) ? 8 : 4,
	    place.region == LINK_TEXT ? "text" : "data");
	if (t.import)
		note_site(run, type, r->addend, addr, section, symbol);
}

static void fill_got(struct run *run)
{
	for (uint32_t i = 0; i < run->o->n_symbols && run->l->n_got; i++) {
		uint32_t index = run->l->got_index[i];
		uint64_t offset = run->l->got + (uint64_t)(index - 1) * GOT_ENTRY;
		struct target t;

		if (index == LINK_NO_GOT || !find_target(run, i, &t))
			continue;
		put(run, LINK_RODATA, offset, t.addr, sizeof(t.addr), "the GOT");
		if (t.import)
			note_site(run, R_X86_64_64, 0, run->memory[LINK_RODATA].addr + offset, 0,
				  i);
	}
}

int link_relocate(const struct object *o, const struct link_layout *l,
		  const struct link_memory memory[LINK_REGIONS], const struct link_names *names,
		  struct loader_report *report)
{
	struct run run = {o, l, memory, names, report, 0};

	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct elf64_shdr s = object_section(o, i);
		struct slice data = object_section_data(o, &s);
		struct elf64_rela r;

		if (s.type != SHT_RELA || l->places[s.info].region == LINK_REGIONS)
			continue;
		for (uint64_t at = 0; slice_copy(data, at, &r, sizeof(r)); at += sizeof(r))
			apply(&run, s.info, &r);
	}
	fill_got(&run);
	return run.error;
}
