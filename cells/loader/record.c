/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

void record_free(struct record *r)
{
	if (!r)
		return;
	heap_free(r->sections);
	heap_free(r->functions);
	heap_free(r->sites);
	heap_free(r->fdes);
	heap_free(r->initial);
	heap_free(r->strings);
	heap_free(r);
}

static void record_drop(struct record **r)
{
	record_free(*r);
}

static void *alloc_array(uint32_t n, size_t bytes)
{
	void *p = heap_alloc(CELL_SELF, n * bytes + 1);

	if (p)
		memset(p, 0, n * bytes);
	return p;
}

/* Sections that are loaded, and one for the GOT. */
static uint32_t count_sections(const struct object *o, const struct link_layout *l)
{
	uint32_t n = 1;

	for (uint32_t i = 0; i < o->n_sections; i++)
		n += l->places[i].region != LINK_REGIONS;
	return n;
}

static bool is_function(const struct object *o, const struct link_layout *l,
			const struct elf64_sym *s)
{
	return elf_symbol_type(s) == STT_FUNC && elf_symbol_is_defined(s) &&
	       l->places[s->shndx].region == LINK_TEXT && object_symbol_name(o, s).n > 0;
}

struct counts {
	uint32_t functions, sites;
	size_t strings; /* bytes, NULs included */
};

static void count_object(const struct object *o, const struct link_layout *l, struct counts *c)
{
	struct elf64_rela r;

	for (uint32_t i = 0; i < o->n_symbols; i++) {
		struct elf64_sym s = object_symbol(o, i);

		if (is_function(o, l, &s)) {
			c->functions++;
			c->strings += object_symbol_name(o, &s).n + 1;
		}
	}
	c->sites = l->n_got;
	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct elf64_shdr s = object_section(o, i);
		struct slice data = object_section_data(o, &s);

		if (l->places[i].region != LINK_REGIONS)
			c->strings += object_section_name(o, &s).n + 1;
		if (s.type != SHT_RELA || l->places[s.info].region == LINK_REGIONS)
			continue;
		for (uint64_t at = 0; slice_copy(data, at, &r, sizeof(r)); at += sizeof(r))
			c->sites += object_symbol(o, (uint32_t)(r.info >> 32)).shndx == SHN_UNDEF;
	}
}

static size_t count_strings(const struct manifest_cell *m)
{
	size_t n = m->state_type.n + 1 + sizeof("GOT");
	struct manifest_provide p;
	struct manifest_export e;
	struct manifest_import i;
	struct slice consume;
	uint64_t at = 0;

	while (manifest_next_export(m, &at, &e))
		n += e.name.n + e.signature.n + 2;
	for (at = 0; manifest_next_import(m, &at, &i);)
		n += i.name.n + 1;
	for (at = 0; manifest_next_provide(m, &at, &p);)
		n += p.interface.n + p.name.n + 2;
	for (at = 0; manifest_next_consume(m, &at, &consume);)
		n += consume.n + 1;
	return n;
}

static const char *add_string(char **next, struct slice s)
{
	char *text = *next;

	if (s.n)
		memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*next += s.n + 1;
	return text;
}

static void copy_cut(char *dst, size_t size, struct slice s)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
}

static void fill_scalars(struct record *r, const struct manifest_cell *m)
{
	copy_cut(r->name, sizeof(r->name), m->name);
	copy_cut(r->version, sizeof(r->version), m->version);
	copy_cut(r->summary, sizeof(r->summary), m->summary);
	r->name_hash = index_hash(m->name);
	memcpy(r->hash, m->sha256, sizeof(r->hash));
	memcpy(r->build_id, m->build_id, sizeof(r->build_id));
	r->state_schema = m->state_schema;
	r->grants = m->grants;
	r->safety = m->safety;
	r->quiescence = m->quiescence;
	r->restart = m->restart;
}

static void fill_lists(struct record *r, const struct manifest_cell *m, char **next)
{
	struct manifest_provide p;
	struct manifest_export e;
	struct manifest_import i;
	struct slice consume;
	uint64_t at = 0;

	r->state_type = add_string(next, m->state_type);
	while (manifest_next_export(m, &at, &e))
		r->exports[r->n_exports++] = (struct record_export){
			.name = add_string(next, e.name),
			.signature = add_string(next, e.signature),
			.abi = e.abi,
			.hash = index_hash(e.name),
			.blocking = e.blocking,
		};
	for (at = 0; manifest_next_import(m, &at, &i);)
		r->imports[r->n_imports++] = (struct record_import){
			.name = add_string(next, i.name), .abi = i.abi, .hash = index_hash(i.name)};
	for (at = 0; manifest_next_provide(m, &at, &p);)
		r->provides[r->n_provides++] = (struct record_provide){
			.interface = add_string(next, p.interface),
			.name = add_string(next, p.name),
			.abi = p.abi,
			.interface_hash = index_hash(p.interface),
			.hash = index_hash_pair(index_hash(p.interface), p.name),
		};
	for (at = 0; manifest_next_consume(m, &at, &consume);)
		r->consumes[r->n_consumes++] = add_string(next, consume);
}

static uint32_t key(const uint8_t *element)
{
	uint32_t k;

	memcpy(&k, element, sizeof(k));
	return k;
}

static void exchange(uint8_t *a, uint8_t *b, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
		uint32_t x = key(a + i), y = key(b + i);

		memcpy(a + i, &y, sizeof(y));
		memcpy(b + i, &x, sizeof(x));
	}
}

void record_sort(void *array, uint32_t n, size_t bytes)
{
	uint8_t *base = array;

	/* heap sort: no recursion, no bad case for an attacker to find */
	for (uint32_t start = n / 2, end = n; end > 1;) {
		uint32_t root, child;

		if (start > 0)
			start--;
		else
			exchange(base, base + --end * bytes, bytes);
		for (root = start; (child = 2 * root + 1) < end; root = child) {
			if (child + 1 < end &&
			    key(base + child * bytes) < key(base + (child + 1) * bytes))
				child++;
			if (key(base + root * bytes) >= key(base + child * bytes))
				break;
			exchange(base + root * bytes, base + child * bytes, bytes);
		}
	}
}

static void fill_object(struct record *r, const struct object *o, const struct link_layout *l,
			char **next)
{
	for (uint32_t i = 0; i < o->n_symbols; i++) {
		struct elf64_sym s = object_symbol(o, i);

		if (is_function(o, l, &s))
			r->functions[r->n_functions++] = (struct record_function){
				.at = l->places[s.shndx].offset + (uint32_t)s.value,
				.bytes = (uint32_t)s.size,
				.name = add_string(next, object_symbol_name(o, &s)),
			};
	}
	/* in the order of their sections and values, which is the order of their addresses to be */
	record_sort(r->functions, r->n_functions, sizeof(*r->functions));
	for (uint32_t i = 1; i < o->n_sections; i++) {
		struct elf64_shdr s = object_section(o, i);

		if (l->places[i].region != LINK_REGIONS)
			r->sections[r->n_sections++] = (struct record_section){
				.name = add_string(next, object_section_name(o, &s)),
				.at = l->places[i].offset,
				.bytes = (uint32_t)s.size,
				.region = l->places[i].region,
			};
	}
	r->sections[r->n_sections++] = (struct record_section){
		.name = add_string(next, slice_of("GOT")),
		.at = (uint32_t)l->got,
		.bytes = l->n_got * 8,
		.region = LINK_RODATA,
	};
}

/* Offset in its region of what must be defined in @want. */
static int find_defined(const struct object *o, const struct link_layout *l, struct slice name,
			enum link_region want, const char *what, uint32_t *ret_at,
			struct loader_report *report)
{
	enum link_region region;
	struct elf64_sym s;
	uint64_t offset;
	int r = object_find(o, name, &s);

	if (r == -EEXIST) {
		report_add(report, "duplicate-symbol",
			   "%.*s: symbol %.*s is defined more than once", SLICE_ARG(o->cell),
			   SLICE_ARG(name));
		return -EINVAL;
	}
	if (r == 0 && layout_symbol(l, o, &s, &region, &offset) == 0 && region == want) {
		*ret_at = (uint32_t)offset;
		return 0;
	}
	report_add(report, "missing-symbol",
		   "%.*s: the manifest names the %s %.*s, which the object %s", SLICE_ARG(o->cell),
		   what, SLICE_ARG(name), r < 0 ? "does not define" : "defines as something else");
	return -EINVAL;
}

static uint16_t find_import(const struct record *r, struct slice name)
{
	for (uint32_t i = 0; i < r->n_imports; i++) {
		if (slice_is(name, r->imports[i].name))
			return (uint16_t)i;
	}
	return UINT16_MAX;
}

/* An import may stay unbound when the object's symbol is weak. */
static void find_imports(struct record *r, const struct object *o, uint16_t *ret_imports)
{
	for (uint32_t i = 0; i < o->n_symbols; i++) {
		struct elf64_sym s = object_symbol(o, i);

		ret_imports[i] = UINT16_MAX;
		if (i < o->first_global || s.shndx != SHN_UNDEF)
			continue;
		ret_imports[i] = find_import(r, object_symbol_name(o, &s));
		if (ret_imports[i] != UINT16_MAX && elf_symbol_binding(&s) == STB_WEAK)
			r->imports[ret_imports[i]].weak = true;
	}
}

static int find_exports(struct record *r, const struct manifest_cell *m, const struct object *o,
			const struct link_layout *l, struct loader_report *report)
{
	struct manifest_provide p;
	uint64_t at = 0;
	int error = 0;

	for (uint32_t i = 0; i < r->n_exports; i++) {
		if (find_defined(o, l, slice_of(r->exports[i].name), LINK_TEXT, "function",
				 &r->exports[i].at, report) < 0)
			error = -EINVAL;
	}
	for (uint32_t i = 0; manifest_next_provide(m, &at, &p); i++) {
		if (find_defined(o, l, p.symbol, LINK_RODATA, "table", &r->provides[i].at, report) <
		    0)
			error = -EINVAL;
	}
	return error;
}

static struct record *alloc_record(const struct manifest_cell *m)
{
	size_t exports = m->n_exports * sizeof(struct record_export);
	size_t imports = m->n_imports * sizeof(struct record_import);
	size_t provides = m->n_provides * sizeof(struct record_provide);
	size_t consumes = m->n_consumes * sizeof(const char *);
	struct record *r = alloc_array(1, sizeof(*r) + exports + imports + provides + consumes);

	if (!r)
		return NULL;
	r->exports = (struct record_export *)(r + 1);
	r->imports = (struct record_import *)(r->exports + m->n_exports);
	r->provides = (struct record_provide *)(r->imports + m->n_imports);
	r->consumes = (const char **)(r->provides + m->n_provides);
	return r;
}

int record_create(const struct manifest_cell *m, const struct object *o,
		  const struct link_layout *l, uint16_t *ret_imports, struct record **ret_record,
		  struct loader_report *report)
{
	struct record *r OWNED(record_drop) = alloc_record(m);
	struct counts c = {.strings = count_strings(m)};
	char *next;

	if (!r)
		return -ENOMEM;
	count_object(o, l, &c);
	r->sections = alloc_array(count_sections(o, l), sizeof(*r->sections));
	r->functions = alloc_array(c.functions, sizeof(*r->functions));
	r->sites = alloc_array(c.sites, sizeof(*r->sites));
	r->strings = alloc_array(1, c.strings);
	if (!r->sections || !r->functions || !r->sites || !r->strings)
		return -ENOMEM;
	r->sites_max = c.sites;
	next = r->strings;
	fill_scalars(r, m);
	fill_lists(r, m, &next);
	fill_object(r, o, l, &next);
	find_imports(r, o, ret_imports);
	if (find_exports(r, m, o, l, report) < 0)
		return -EINVAL;
	*ret_record = TAKE(r);
	return 0;
}

void record_place(struct record *r)
{
	uint32_t text = r->regions[LINK_TEXT].at, rodata = r->regions[LINK_RODATA].at;

	for (uint32_t i = 0; i < r->n_exports; i++)
		r->exports[i].at += text;
	for (uint32_t i = 0; i < r->n_provides; i++)
		r->provides[i].at += rodata;
	for (uint32_t i = 0; i < r->n_functions; i++)
		r->functions[i].at += text;
	for (uint32_t i = 0; i < r->n_sections; i++)
		r->sections[i].at += r->regions[r->sections[i].region].at;
}

int record_add_site(struct record *r, const struct link_site *site, uint32_t import)
{
	uint32_t section = r->n_sections - 1;

	if (site->addend != (int32_t)site->addend)
		return -ERANGE;
	if (r->n_sites == r->sites_max)
		return -ENOSPC;
	for (uint32_t i = 0; i < r->n_sections; i++) {
		uint32_t at = window_at(site->addr);

		if (at >= r->sections[i].at && at - r->sections[i].at < r->sections[i].bytes)
			section = i;
	}
	r->sections[section].sites++;
	r->sites[r->n_sites++] = (struct record_site){
		.at = window_at(site->addr),
		.addend = (int32_t)site->addend,
		.import = (uint16_t)import,
		.section = (uint16_t)section,
		.type = site->type,
	};
	return 0;
}

const struct record_export *record_find_export(const struct record *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_exports; i++) {
		if (strcmp(r->exports[i].name, name) == 0)
			return &r->exports[i];
	}
	return NULL;
}

const struct record_export *record_find_blocking(const struct record *r, const char *name)
{
	const struct record_export *e = r ? record_find_export(r, name) : NULL;

	return e && e->blocking ? e : NULL;
}

const struct record_provide *record_find_provide(const struct record *r, const char *interface,
						 const char *name)
{
	for (uint32_t i = 0; i < r->n_provides; i++) {
		if (strcmp(r->provides[i].interface, interface) == 0 &&
		    strcmp(r->provides[i].name, name) == 0)
			return &r->provides[i];
	}
	return NULL;
}

const struct record_provide *record_ops_provide(const struct record *r)
{
	for (uint32_t i = 0; i < r->n_provides; i++) {
		if (strcmp(r->provides[i].interface, "cell_ops") == 0)
			return &r->provides[i];
	}
	return NULL;
}

uint64_t record_ops_addr(const struct record *r)
{
	const struct record_provide *p = record_ops_provide(r);

	return p ? window_addr(p->at) : 0;
}
