/* SPDX-License-Identifier: MIT */
#include <stdbool.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

#define TEXT(s) ((char *)(uintptr_t)(s))
#define CALLS_MAX 400u

static const uint8_t zeros[4096], state[WORLD_STATE_BYTES] = {0x5a};
static uint8_t nops[4096];

struct lists {
	Theseus__Export exports[4], *export_list[4];
	Theseus__Import imports[4], *import_list[4];
	Theseus__Provide provides[2], *provide_list[2];
};

static void add_export(Theseus__Cell *c, struct lists *l, const char *name, uint64_t abi,
		       const char *signature, bool blocking)
{
	Theseus__Export *e = &l->exports[c->n_exports];

	theseus__export__init(e);
	e->name = TEXT(name);
	e->abi = abi;
	e->signature = TEXT(signature);
	e->blocking = blocking;
	l->export_list[c->n_exports++] = e;
	c->exports = l->export_list;
}

static void add_import(Theseus__Cell *c, struct lists *l, const char *name, uint64_t abi)
{
	Theseus__Import *i = &l->imports[c->n_imports];

	theseus__import__init(i);
	i->name = TEXT(name);
	i->abi = abi;
	l->import_list[c->n_imports++] = i;
	c->imports = l->import_list;
}

static void add_provide(Theseus__Cell *c, struct lists *l, const char *interface, const char *name,
			const char *symbol, uint64_t abi)
{
	Theseus__Provide *p = &l->provides[c->n_provides];

	theseus__provide__init(p);
	p->interface = TEXT(interface);
	p->name = TEXT(name);
	p->symbol = TEXT(symbol);
	p->abi = abi;
	l->provide_list[c->n_provides++] = p;
	c->provides = l->provide_list;
}

static uint64_t or_default(uint64_t v, uint64_t otherwise)
{
	return v ? v : otherwise;
}

static struct blob base_object(const struct edition *e)
{
	unsigned text, rodata, at = e->shift;
	struct build b;

	build_init(&b);
	text = build_section(&b, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, nops, at + 64,
			     16);
	rodata = build_section(&b, ".data.rel.ro", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, zeros,
			       at + 64, 16);
	if (e->schema != UINT64_MAX)
		build_section(&b, ".theseus.state", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, state,
			      or_default(e->state_bytes, WORLD_STATE_BYTES), 64);
	build_symbol(&b, "helper", (uint16_t)text, at + 48, 16, STB_LOCAL, STT_FUNC);
	if (!e->no_symbol)
		build_symbol(&b, "base_add", (uint16_t)text, at, 16, STB_GLOBAL, STT_FUNC);
	if (e->two_symbols)
		build_symbol(&b, "base_add", (uint16_t)text, at + 4, 4, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, "base_wait", (uint16_t)text, at + 16, 16, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, "base_rest", (uint16_t)text, at + 32, 16, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, "__provide_cell_ops__base", (uint16_t)rodata, at, 16, STB_GLOBAL,
		     STT_OBJECT);
	build_symbol(&b, "__provide_number_ops__base", (uint16_t)rodata, at + 16, 8, STB_GLOBAL,
		     STT_OBJECT);
	build_symbol(&b, "__slot_cell_self", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	/* number_ops "base" = { base_add }; the slot's own address behind it */
	if (!e->no_symbol)
		build_rela(&b, rodata, at + 16, 2, R_X86_64_64, 0);
	build_rela(&b, rodata, at + 24, b.n_symbols - 1, R_X86_64_64, 0);
	return build_finish(&b);
}

static char *number_ops[1] = {TEXT("number_ops")};

static void base_cell(Theseus__Cell *c, struct lists *l, const struct edition *e,
		      struct blob object)
{
	build_cell(c, "base", e->version ? e->version : "1.0.0", object);
	c->summary = TEXT("adds and waits");
	c->grants = e->grants;
	if (e->restartable)
		c->restart = THESEUS__RESTART__RESTART_ALWAYS;
	if (e->seeks) {
		c->consumes = number_ops;
		c->n_consumes = 1;
	}
	if (e->sdk_abi)
		c->sdk_abi = e->sdk_abi;
	if (e->schema != UINT64_MAX) {
		c->state_schema = or_default(e->schema, 7);
		c->state_bytes = or_default(e->state_bytes, WORLD_STATE_BYTES);
		c->state_type = TEXT("struct base_state");
	}
	if (!e->without_add)
		add_export(c, l, "base_add", or_default(e->add_abi, WORLD_ADD_ABI),
			   e->add_abi ? "long (long)" : "int (int, int)", false);
	add_export(c, l, "base_wait", 12, "int (uint64_t)", !e->wait_plain);
	if (e->second_wait)
		add_export(c, l, "base_rest", 13, "int64_t (int)", true);
	add_provide(c, l, "cell_ops", "base", "__provide_cell_ops__base", 1);
	if (!e->without_number)
		add_provide(c, l, "number_ops", "base", "__provide_number_ops__base",
			    or_default(e->number_abi, 2));
}

/* text: 400 calls of base_add at 8 * i, then base_wait at 4000, GOT at 4008; rodata: pointer at 8
 */
static struct blob user_object(const struct edition *e)
{
	unsigned text, rodata, add, wait, calls = e->calls ? e->calls : 3;
	struct build b;

	build_init(&b);
	text = build_section(&b, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, nops, 4096, 16);
	rodata = build_section(&b, ".data.rel.ro", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, zeros, 64,
			       8);
	build_symbol(&b, "__provide_number_ops__user", (uint16_t)rodata, 16, 8, STB_GLOBAL,
		     STT_OBJECT);
	build_symbol(&b, "user_main", (uint16_t)text, 0, 4096, STB_GLOBAL, STT_FUNC);
	add = build_symbol(&b, "base_add", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	wait = build_symbol(&b, "base_wait", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_symbol(&b, "__slot_number_ops__user", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	for (unsigned i = 0; i < calls && i < CALLS_MAX; i++)
		build_rela(&b, text, 8 * i, add, R_X86_64_PLT32, -4);
	build_rela(&b, text, 4000, wait, R_X86_64_PLT32, -4);
	build_rela(&b, text, 4008, add, R_X86_64_REX_GOTPCRELX, -4);
	build_rela(&b, rodata, 8, add, R_X86_64_64, e->far_addend ? 1ll << 32 : 0);
	build_rela(&b, rodata, 24, b.n_symbols - 1, R_X86_64_64, 0);
	if (e->missing_import)
		build_rela(&b, text, 4016,
			   build_symbol(&b, "nobodys", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE),
			   R_X86_64_PLT32, -4);
	return build_finish(&b);
}

static void user_cell(Theseus__Cell *c, struct lists *l, const struct edition *e,
		      struct blob object)
{
	build_cell(c, "user", e->version ? e->version : "1.0.0", object);
	add_import(c, l, "base_add", or_default(e->import_abi, WORLD_ADD_ABI));
	if (!e->undeclared)
		add_import(c, l, "base_wait", 12);
	if (e->missing_import)
		add_import(c, l, "nobodys", 99);
	add_provide(c, l, "number_ops", "user", "__provide_number_ops__user", 2);
}

static struct blob other_object(void)
{
	struct build b;

	build_init(&b);
	build_section(&b, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, nops, 16, 16);
	build_symbol(&b, "base_add", 1, 0, 8, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, "other_fn", 1, 8, 8, STB_GLOBAL, STT_FUNC);
	return build_finish(&b);
}

struct blob world_bundle(const struct edition *e)
{
	Theseus__Manifest m = THESEUS__MANIFEST__INIT;
	struct lists lists[3];
	Theseus__Cell cells[3], *list[3];
	struct blob objects[3], bundle;
	char *obsoletes[1] = {TEXT(e->obsolete)};

	memset(lists, 0, sizeof(lists));
	memset(nops, 0x90, sizeof(nops));
	if (e->with_base) {
		objects[m.n_cells] = base_object(e);
		base_cell(&cells[m.n_cells], &lists[0], e, objects[m.n_cells]);
		m.n_cells++;
	}
	if (e->with_user) {
		objects[m.n_cells] = user_object(e);
		user_cell(&cells[m.n_cells], &lists[1], e, objects[m.n_cells]);
		m.n_cells++;
	}
	if (e->with_other) {
		objects[m.n_cells] = other_object();
		build_cell(&cells[m.n_cells], "other", "1.0.0", objects[m.n_cells]);
		add_export(&cells[m.n_cells], &lists[2],
			   e->other_exports_add ? "base_add" : "other_fn", WORLD_ADD_ABI,
			   "int (int, int)", false);
		m.n_cells++;
	}
	for (size_t i = 0; i < m.n_cells; i++)
		list[i] = &cells[i];
	m.cells = list;
	m.format = 1;
	m.obsoletes = obsoletes;
	m.n_obsoletes = e->obsolete != NULL;
	if (e->wrong_hash)
		cells[0].sha256.data[5] ^= 1;
	if (e->wrong_size)
		cells[0].size++;
	if (e->no_member)
		cells[0].object = TEXT("elsewhere");
	bundle = build_bundle(&m, objects);
	if (e->no_member) {
		/* the member is there, under another name than the manifest's */
		for (size_t i = 0; i + 10 < bundle.n; i++) {
			if (memcmp(bundle.p + i, "elsewhere/", 10) == 0)
				bundle.p[i] = 'E';
		}
	}
	for (size_t i = 0; i < m.n_cells; i++)
		free(objects[i].p);
	return bundle;
}

/* text: the function, and a call of base_add at 4; rodata: the table */
static struct blob crowd_object(const char *name)
{
	unsigned text, rodata, add;
	char table[64];
	struct build b;

	(void)snprintf(table, sizeof(table), "__provide_crowd_ops__%s", name);
	build_init(&b);
	text = build_section(&b, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, nops, 16, 16);
	rodata = build_section(&b, ".rodata", SHT_PROGBITS, SHF_ALLOC, zeros, 16, 8);
	build_symbol(&b, name, (uint16_t)text, 0, 16, STB_GLOBAL, STT_FUNC);
	build_symbol(&b, table, (uint16_t)rodata, 0, 8, STB_GLOBAL, STT_OBJECT);
	add = build_symbol(&b, "base_add", SHN_UNDEF, 0, 0, STB_GLOBAL, STT_NOTYPE);
	build_rela(&b, text, 4, add, R_X86_64_PLT32, -4);
	return build_finish(&b);
}

struct blob world_crowd(unsigned first, unsigned n, bool gone)
{
	static char names[WORLD_CROWD_MAX][32], tables[WORLD_CROWD_MAX][64];
	static struct lists lists[WORLD_CROWD_MAX];
	static Theseus__Cell cells[WORLD_CROWD_MAX], *list[WORLD_CROWD_MAX];
	Theseus__Manifest m = THESEUS__MANIFEST__INIT;
	char *obsoletes[WORLD_CROWD_MAX], *seeks = TEXT("number_ops");
	struct blob objects[WORLD_CROWD_MAX], bundle;

	memset(lists, 0, sizeof(lists));
	memset(nops, 0x90, sizeof(nops));
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "crowd_%05u", first + i);
		(void)snprintf(tables[i], sizeof(tables[i]), "__provide_crowd_ops__%s", names[i]);
		obsoletes[i] = names[i];
		list[i] = &cells[i];
		if (gone)
			continue;
		objects[i] = crowd_object(names[i]);
		build_cell(&cells[i], names[i], "1.0.0", objects[i]);
		add_export(&cells[i], &lists[i], names[i], 21, "int (int)", false);
		add_import(&cells[i], &lists[i], "base_add", WORLD_ADD_ABI);
		add_provide(&cells[i], &lists[i], "crowd_ops", names[i], tables[i], 22);
		cells[i].consumes = &seeks;
		cells[i].n_consumes = 1;
	}
	m.format = 1;
	m.cells = list;
	m.n_cells = gone ? 0 : n;
	m.obsoletes = obsoletes;
	m.n_obsoletes = gone ? n : 0;
	bundle = build_bundle(&m, objects);
	for (unsigned i = 0; i < m.n_cells; i++)
		free(objects[i].p);
	return bundle;
}
