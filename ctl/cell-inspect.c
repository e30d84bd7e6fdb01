/* SPDX-License-Identifier: MIT */
/* cell inspect: what is in a bundle, read as foreign bytes. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/bundle.h"
#include "cell-files.h"
#include "commands.h"
#include "pack/barrier.h"
#include "pack/object.h"
#include "table.h"
#include "util.h"

typedef struct json_object json;

struct inspected_cell {
	struct object object;
	struct barrier *barriers; /* owned */
	size_t n_barriers;
};

/* An opened bundle with its parsed objects. */
struct inspected {
	const char *file;
	struct bundle *bundle;
	struct inspected_cell *cells;
	size_t n;
};

static void inspected_done(struct inspected *i)
{
	for (size_t k = 0; k < i->n; k++) {
		object_done(&i->cells[k].object);
		free(i->cells[k].barriers);
	}
	free(i->cells);
	bundle_free(i->bundle);
}

static const char *safety_name(Theseus__Safety s)
{
	return s == THESEUS__SAFETY__SAFETY_SAFE     ? "safe"
	       : s == THESEUS__SAFETY__SAFETY_UNSAFE ? "unsafe"
						     : "unknown";
}

static const char *quiescence_name(Theseus__Quiescence q)
{
	return q == THESEUS__QUIESCENCE__QUIESCENCE_ANY    ? "any"
	       : q == THESEUS__QUIESCENCE__QUIESCENCE_IDLE ? "idle"
							   : "unknown";
}

static const char *restart_name(Theseus__Restart r)
{
	return r == THESEUS__RESTART__RESTART_NEVER    ? "never"
	       : r == THESEUS__RESTART__RESTART_ALWAYS ? "always"
						       : "unknown";
}

/* Unsafe lines of 1000 code lines, so that a tenth of a percent can be shown. */
static unsigned int permille(const Theseus__SafetyReport *r)
{
	return r->code_lines ? (unsigned int)((uint64_t)r->unsafe_lines * 1000 / r->code_lines) : 0;
}

/* Names of gate grants, by bit: enum gate_grant. */
static const char *const grant_names[] = {"memory", "text", "cpu", "sched", "port", "power"};

#define GRANTS (sizeof(grant_names) / sizeof(grant_names[0]))

/* How often the section has relocations of a type, for types in order. */
static size_t count_relocs(const struct object_section *s, uint32_t type)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_relocs; i++)
		n += s->relocs[i].type == type;
	return n;
}

static void reloc_name(uint32_t type, char buf[32])
{
	const char *name = object_reloc_name(type);

	if (name)
		(void)snprintf(buf, 32, "%s", name);
	else
		(void)snprintf(buf, 32, "type %u", type);
}

/* The least type above @after that the section has; UINT32_MAX when there is none. */
static uint32_t next_type(const struct object_section *s, int64_t after)
{
	uint32_t best = UINT32_MAX;

	for (size_t i = 0; i < s->n_relocs; i++)
		if ((int64_t)s->relocs[i].type > after && s->relocs[i].type < best)
			best = s->relocs[i].type;
	return best;
}

static void section_flags(const struct object_section *s, char buf[4])
{
	size_t n = 0;

	if (s->flags & SHF_ALLOC)
		buf[n++] = 'r';
	if (s->flags & SHF_WRITE)
		buf[n++] = 'w';
	if (s->flags & SHF_EXECINSTR)
		buf[n++] = 'x';
	buf[n] = 0;
}

/* ---- text ---- */

static void text_sections(const struct object *o)
{
	static const char *const headers[] = {"SECTION", "FLAGS", ">BYTES", ">ALIGN",
					      "RELOCATIONS"};
	struct table t;

	table_init(&t, headers, 5);
	for (size_t i = 0; i < o->n_sections; i++) {
		const struct object_section *s = &o->sections[i];
		__attribute__((cleanup(buf_done))) struct buf relocs = {0};
		uint32_t type = next_type(s, -1);
		char flags[4], name[32];

		for (; type != UINT32_MAX; type = next_type(s, type)) {
			reloc_name(type, name);
			buf_printf(&relocs, "%s%zu %s", relocs.len ? ", " : "",
				   count_relocs(s, type), name);
		}
		section_flags(s, flags);
		table_add(&t, "%s", s->name);
		table_add(&t, "%s", flags);
		table_add(&t, "%llu%s", (unsigned long long)s->size, s->data ? "" : " (zeros)");
		table_add(&t, "%llu", (unsigned long long)s->align);
		table_add(&t, "%s", buf_str(&relocs));
	}
	table_print(&t);
}

static void text_symbols(const Theseus__Cell *cell)
{
	static const char *const exports[] = {"EXPORT", "ABI", "TYPE"};
	static const char *const imports[] = {"IMPORT", "ABI"};
	static const char *const provides[] = {"PROVIDES", "NAME", "ABI"};
	struct table t;

	table_init(&t, exports, 3);
	for (size_t i = 0; i < cell->n_exports; i++) {
		table_add(&t, "%s", cell->exports[i]->name);
		table_add(&t, "%016llx", (unsigned long long)cell->exports[i]->abi);
		table_add(&t, "%s%s", cell->exports[i]->signature,
			  cell->exports[i]->blocking ? ", blocking" : "");
	}
	if (cell->n_exports)
		table_print(&t);
	table_init(&t, imports, 2);
	for (size_t i = 0; i < cell->n_imports; i++) {
		table_add(&t, "%s", cell->imports[i]->name);
		table_add(&t, "%016llx", (unsigned long long)cell->imports[i]->abi);
	}
	if (cell->n_imports)
		table_print(&t);
	table_init(&t, provides, 3);
	for (size_t i = 0; i < cell->n_provides; i++) {
		table_add(&t, "%s", cell->provides[i]->interface);
		table_add(&t, "%s", cell->provides[i]->name);
		table_add(&t, "%016llx", (unsigned long long)cell->provides[i]->abi);
	}
	if (cell->n_provides)
		table_print(&t);
}

/* One line "key  text", the text made fit to be shown. */
static void text_field(const char *key, const char *text)
{
	CLEANUP_FREE char *clean = clean_text(text, strlen(text), false);

	printf("%-12s %s\n", key, clean ? clean : "");
}

static void text_report(const Theseus__Cell *m)
{
	__attribute__((cleanup(buf_done))) struct buf line = {0};
	const Theseus__SafetyReport *r = m->report;

	if (m->unsafe_reason && *m->unsafe_reason)
		text_field("unsafe why", m->unsafe_reason);
	if (!r) {
		text_field("unsafe", "its sources were not checked");
		return;
	}
	buf_printf(&line, "%u of %u lines (%u.%u %%)", r->unsafe_lines, r->code_lines,
		   permille(r) / 10, permille(r) % 10);
	for (size_t i = 0; i < r->n_counts; i++)
		buf_printf(&line, "%s%u %s", i ? ", " : ": ", r->counts[i]->operations,
			   r->counts[i]->kind);
	text_field("unsafe", buf_str(&line));
	for (size_t i = 0; i < r->n_places; i++) {
		line.len = 0;
		buf_printf(&line, "%s: %s", r->places[i]->where, r->places[i]->kind);
		text_field("", buf_str(&line));
	}
}

static void text_barriers(const struct inspected_cell *c)
{
	__attribute__((cleanup(buf_done))) struct buf line = {0};

	for (size_t i = 0; i < c->n_barriers; i++) {
		const struct barrier *b = &c->barriers[i];

		line.len = 0;
		buf_printf(&line, "%s at .text+%#llx, %llu bytes",
			   b->function ? b->function : "code without a symbol",
			   (unsigned long long)b->at, (unsigned long long)b->bytes);
		text_field(i ? "" : "barriers", buf_str(&line));
	}
	if (!c->n_barriers)
		text_field("barriers", "none");
}

static void text_cell_file(const struct bundle_cell *cell, const struct inspected_cell *c)
{
	const Theseus__Cell *m = cell->manifest;
	CLEANUP_FREE char *sha256 = hex(m->sha256.data, m->sha256.len);
	CLEANUP_FREE char *id = hex(m->build_id.data, m->build_id.len);
	__attribute__((cleanup(buf_done))) struct buf line = {0};

	printf("\n");
	buf_printf(&line, "%s %s", m->name, m->version);
	text_field("cell", buf_str(&line));
	text_field("summary", m->summary);
	printf("%-12s %zu bytes, SHA-256 %s\n", "object", cell->size, sha256 ? sha256 : "");
	text_field("build id", id ? id : "");
	printf("%-12s %u\n", "SDK ABI", m->sdk_abi);
	printf("%-12s %s, quiescence %s, restart %s\n", "safety", safety_name(m->safety),
	       quiescence_name(m->quiescence), restart_name(m->restart));
	line.len = 0;
	for (size_t i = 0; i < GRANTS; i++)
		if (m->grants & (1u << i))
			buf_printf(&line, "%s%s", line.len ? ", " : "", grant_names[i]);
	text_field("gate calls", line.len ? buf_str(&line) : "none");
	if (m->state_schema) {
		printf("%-12s %llu bytes, schema %016llx\n", "state",
		       (unsigned long long)m->state_bytes, (unsigned long long)m->state_schema);
		text_field("", m->state_type);
	}
	for (size_t i = 0; i < m->n_consumes; i++)
		text_field(i ? "" : "consumes", m->consumes[i]);
	text_report(m);
	text_barriers(c);
	text_sections(&c->object);
	text_symbols(m);
}

static void text_inspected(const struct inspected *i)
{
	const Theseus__Manifest *m = bundle_manifest(i->bundle);
	uint8_t digest[32];
	size_t size, signature = 0;
	CLEANUP_FREE char *sha256 = NULL;

	(void)bundle_bytes(i->bundle, &size);
	bundle_sha256(i->bundle, digest);
	sha256 = hex(digest, sizeof(digest));
	text_field("bundle", i->file);
	printf("%-12s %zu bytes, SHA-256 %s\n", "file", size, sha256 ? sha256 : "");
	printf("%-12s %llu, floor %llu\n", "sequence", (unsigned long long)m->sequence,
	       (unsigned long long)m->floor);
	printf("%-12s %s\n", "signature",
	       bundle_signature(i->bundle, &signature) ? "there" : "none");
	for (size_t k = 0; k < m->n_obsoletes; k++)
		text_field(k ? "" : "obsoletes", m->obsoletes[k]);
	for (size_t k = 0; k < i->n; k++) {
		struct bundle_cell cell = bundle_cell_at(i->bundle, k);

		text_cell_file(&cell, &i->cells[k]);
	}
}

/* ---- JSON ---- */

static json *json_text(const char *s)
{
	CLEANUP_FREE char *clean = clean_text(s, strlen(s), true);

	return clean ? json_object_new_string(clean) : NULL;
}

static json *json_hex(const uint8_t *data, size_t len)
{
	CLEANUP_FREE char *s = hex(data, len);

	return s ? json_object_new_string(s) : NULL;
}

static json *json_hash(uint64_t hash)
{
	char s[17];

	(void)snprintf(s, sizeof(s), "%016llx", (unsigned long long)hash);
	return json_object_new_string(s);
}

static json *json_sections(const struct object *o)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < o->n_sections; i++) {
		const struct object_section *s = &o->sections[i];
		json *row = json_object_new_object(), *relocs = json_object_new_object();
		char flags[4], name[32];

		for (uint32_t t = next_type(s, -1); t != UINT32_MAX; t = next_type(s, t)) {
			reloc_name(t, name);
			json_object_object_add(relocs, name,
					       json_object_new_uint64(count_relocs(s, t)));
		}
		section_flags(s, flags);
		json_object_object_add(row, "name", json_text(s->name));
		json_object_object_add(row, "flags", json_object_new_string(flags));
		json_object_object_add(row, "bytes", json_object_new_uint64(s->size));
		json_object_object_add(row, "align", json_object_new_uint64(s->align));
		json_object_object_add(row, "zeros", json_object_new_boolean(!s->data));
		json_object_object_add(row, "relocations", relocs);
		json_object_array_add(list, row);
	}
	return list;
}

static void add_exports(json *o, const Theseus__Cell *m)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < m->n_exports; i++) {
		json *row = json_object_new_object();

		json_object_object_add(row, "name", json_text(m->exports[i]->name));
		json_object_object_add(row, "abi", json_hash(m->exports[i]->abi));
		json_object_object_add(row, "signature", json_text(m->exports[i]->signature));
		json_object_object_add(row, "blocking",
				       json_object_new_boolean(m->exports[i]->blocking));
		json_object_array_add(list, row);
	}
	json_object_object_add(o, "exports", list);
}

static void add_imports(json *o, const Theseus__Cell *m)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < m->n_imports; i++) {
		json *row = json_object_new_object();

		json_object_object_add(row, "name", json_text(m->imports[i]->name));
		json_object_object_add(row, "abi", json_hash(m->imports[i]->abi));
		json_object_array_add(list, row);
	}
	json_object_object_add(o, "imports", list);
}

static void add_interfaces(json *o, const Theseus__Cell *m)
{
	json *provides = json_object_new_array(), *consumes = json_object_new_array();

	for (size_t i = 0; i < m->n_provides; i++) {
		json *row = json_object_new_object();

		json_object_object_add(row, "interface", json_text(m->provides[i]->interface));
		json_object_object_add(row, "name", json_text(m->provides[i]->name));
		json_object_object_add(row, "abi", json_hash(m->provides[i]->abi));
		json_object_array_add(provides, row);
	}
	for (size_t i = 0; i < m->n_consumes; i++)
		json_object_array_add(consumes, json_text(m->consumes[i]));
	json_object_object_add(o, "provides", provides);
	json_object_object_add(o, "consumes", consumes);
}

static void add_state(json *o, const Theseus__Cell *m)
{
	json *state = NULL;

	if (m->state_schema) {
		state = json_object_new_object();
		json_object_object_add(state, "schema", json_hash(m->state_schema));
		json_object_object_add(state, "bytes", json_object_new_uint64(m->state_bytes));
		json_object_object_add(state, "type", json_text(m->state_type));
	}
	json_object_object_add(o, "state", state);
}

/* null: nobody has looked at the sources. */
static json *json_report(const Theseus__SafetyReport *r)
{
	json *o, *counts, *places;

	if (!r)
		return NULL;
	o = json_object_new_object();
	counts = json_object_new_object();
	places = json_object_new_array();
	json_object_object_add(o, "code_lines", json_object_new_uint64(r->code_lines));
	json_object_object_add(o, "unsafe_lines", json_object_new_uint64(r->unsafe_lines));
	for (size_t i = 0; i < r->n_counts; i++) {
		CLEANUP_FREE char *kind =
			clean_text(r->counts[i]->kind, strlen(r->counts[i]->kind), true);

		if (kind)
			json_object_object_add(counts, kind,
					       json_object_new_uint64(r->counts[i]->operations));
	}
	for (size_t i = 0; i < r->n_places; i++) {
		json *row = json_object_new_object();

		json_object_object_add(row, "kind", json_text(r->places[i]->kind));
		json_object_object_add(row, "where", json_text(r->places[i]->where));
		json_object_array_add(places, row);
	}
	json_object_object_add(o, "operations", counts);
	json_object_object_add(o, "places", places);
	return o;
}

static json *json_barriers(const struct inspected_cell *c)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < c->n_barriers; i++) {
		const struct barrier *b = &c->barriers[i];
		json *row = json_object_new_object();

		json_object_object_add(row, "function",
				       b->function ? json_text(b->function) : NULL);
		json_object_object_add(row, "text_offset", json_object_new_uint64(b->at));
		json_object_object_add(row, "bytes", json_object_new_uint64(b->bytes));
		json_object_array_add(list, row);
	}
	return list;
}

static void fill_cell(json *o, const struct bundle_cell *cell, const struct inspected_cell *c)
{
	const Theseus__Cell *m = cell->manifest;
	json *grants = json_object_new_array();

	for (size_t i = 0; i < GRANTS; i++)
		if (m->grants & (1u << i))
			json_object_array_add(grants, json_object_new_string(grant_names[i]));
	json_object_object_add(o, "name", json_text(m->name));
	json_object_object_add(o, "version", json_text(m->version));
	json_object_object_add(o, "summary", json_text(m->summary));
	json_object_object_add(o, "object", json_text(m->object));
	json_object_object_add(o, "object_bytes", json_object_new_uint64(cell->size));
	json_object_object_add(o, "object_sha256", json_hex(m->sha256.data, m->sha256.len));
	json_object_object_add(o, "build_id", json_hex(m->build_id.data, m->build_id.len));
	json_object_object_add(o, "sdk_abi", json_object_new_uint64(m->sdk_abi));
	json_object_object_add(o, "grants", grants);
	json_object_object_add(o, "safety", json_object_new_string(safety_name(m->safety)));
	json_object_object_add(o, "unsafe_reason",
			       m->unsafe_reason && *m->unsafe_reason ? json_text(m->unsafe_reason)
								     : NULL);
	json_object_object_add(o, "safety_report", json_report(m->report));
	json_object_object_add(o, "quiescence",
			       json_object_new_string(quiescence_name(m->quiescence)));
	json_object_object_add(o, "restart", json_object_new_string(restart_name(m->restart)));
	add_state(o, m);
	add_exports(o, m);
	add_imports(o, m);
	add_interfaces(o, m);
	json_object_object_add(o, "unwind_barriers", json_barriers(c));
	json_object_object_add(o, "sections", json_sections(&c->object));
}

/* A bundle of one cell, the common case, has that cell's fields at the top as well. */
static void json_inspected(const struct inspected *i)
{
	const Theseus__Manifest *m = bundle_manifest(i->bundle);
	json *o = json_object_new_object(), *cells = json_object_new_array();
	json *obsoletes = json_object_new_array();
	const uint8_t *signature;
	size_t size, signature_size = 0;
	uint8_t digest[32];

	(void)bundle_bytes(i->bundle, &size);
	bundle_sha256(i->bundle, digest);
	signature = bundle_signature(i->bundle, &signature_size);
	for (size_t k = 0; k < m->n_obsoletes; k++)
		json_object_array_add(obsoletes, json_text(m->obsoletes[k]));
	json_object_object_add(o, "schema", json_object_new_string("theseus.cell-inspect/1"));
	json_object_object_add(o, "file", json_text(i->file));
	json_object_object_add(o, "bytes", json_object_new_uint64(size));
	json_object_object_add(o, "sha256", json_hex(digest, sizeof(digest)));
	json_object_object_add(o, "seq", json_object_new_uint64(m->sequence));
	json_object_object_add(o, "floor", json_object_new_uint64(m->floor));
	json_object_object_add(o, "expiry_unix", json_object_new_uint64(m->expiry_unix));
	json_object_object_add(o, "signature",
			       signature ? json_hex(signature, signature_size) : NULL);
	json_object_object_add(o, "obsoletes", obsoletes);
	for (size_t k = 0; k < i->n; k++) {
		struct bundle_cell cell = bundle_cell_at(i->bundle, k);
		json *row = json_object_new_object();

		fill_cell(row, &cell, &i->cells[k]);
		json_object_array_add(cells, row);
		if (i->n == 1)
			fill_cell(o, &cell, &i->cells[k]);
	}
	json_object_object_add(o, "cells", cells);
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* ---- the command ---- */

static int inspect_cell(const char *name, const struct bundle_cell *cell, struct inspected_cell *c,
			struct reasons *reasons)
{
	int r = object_parse(name, cell->object, cell->size, &c->object, reasons);

	return r < 0 ? r : barriers_find(name, &c->object, &c->barriers, &c->n_barriers, reasons);
}

static int open_objects(struct inspected *i, struct reasons *reasons)
{
	size_t n = bundle_n_cells(i->bundle);
	int all = 0;

	i->cells = calloc(n, sizeof(*i->cells));
	if (!i->cells)
		return -ENOMEM;
	i->n = n;
	for (size_t k = 0; k < n; k++) {
		struct bundle_cell cell = bundle_cell_at(i->bundle, k);
		CLEANUP_FREE char *name = NULL;
		int r;

		if (asprintf(&name, "%s: cell '%s'", i->file, cell.manifest->name) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		r = inspect_cell(name, &cell, &i->cells[k], reasons);
		all = r < 0 ? r : all;
	}
	return all;
}

int cmd_cell_inspect(struct ctl *c, int argc, char **argv)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	__attribute__((cleanup(inspected_done))) struct inspected i = {.file = argv[1]};
	int r = bundle_open_file(i.file, &i.bundle, &reasons);

	(void)argc;
	if (r == 0)
		r = open_objects(&i, &reasons);
	if (r < 0)
		return cell_refused(c, "this is no bundle", r, &reasons);
	if (c->json)
		json_inspected(&i);
	else
		text_inspected(&i);
	return 0;
}
