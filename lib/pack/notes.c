/* SPDX-License-Identifier: MIT */
/* The notes that the macros of theseus/cell.h leave become the manifest's entry. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/cell.h>

#include "bundle/bundle.h"

_Static_assert(CELL_NAME_MAX == BUNDLE_NAME_MAX && CELL_SYMBOL_MAX == BUNDLE_SYMBOL_MAX, "limits");

/* Content of a note section: whole records only. Result: count, or -EPERM. */
static int64_t note_records(struct pack *p, const char *name, size_t record,
			    const struct object_section **ret_section)
{
	uint32_t at = object_section_find(&p->linked, name);
	const struct object_section *s = at == OBJECT_NONE ? NULL : &p->linked.sections[at];

	*ret_section = s;
	if (!s)
		return 0;
	if (!s->data || s->size % record || s->n_relocs)
		return reasons_add(p->reasons, "bad-info",
				   "%s: section %s was made with another SDK's macros",
				   p->files[0].path, name);
	return (int64_t)(s->size / record);
}

static bool terminated(const char *s, size_t size)
{
	return memchr(s, 0, size) != NULL;
}

/* A copy for the manifest, whose strings must be UTF-8: other bytes become '?'. */
static char *copy_text(const char *s)
{
	char *copy = strdup(s);

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '?';
	return copy;
}

static int check_info(struct pack *p, const struct cell_info *i)
{
	const char *path = p->files[0].path;
	int r = 0;

	if (!terminated(i->name, sizeof(i->name)) || !terminated(i->version, sizeof(i->version)) ||
	    !terminated(i->summary, sizeof(i->summary)) ||
	    !terminated(i->unsafe_reason, sizeof(i->unsafe_reason)))
		return reasons_add(p->reasons, "bad-info", "%s: CELL_INFO: a text is too long",
				   path);
	if (!bundle_name_valid(i->name))
		r = reasons_add(
			p->reasons, "bad-name",
			"%s: CELL_INFO: name \"%s\" is not [a-z][a-z0-9_]* of at most %u bytes",
			path, i->name, CELL_NAME_MAX - 1);
	if (p->in->name && strcmp(p->in->name, i->name) != 0)
		r = reasons_add(p->reasons, "bad-name",
				"%s: CELL_INFO: name \"%s\", expected \"%s\"", path, i->name,
				p->in->name);
	if (!bundle_version_valid(i->version))
		r = reasons_add(
			p->reasons, "bad-version",
			"%s: CELL_INFO: version \"%s\" is not a semantic version like 1.2.3", path,
			i->version);
	if (i->sdk_abi != SDK_ABI)
		r = reasons_add(p->reasons, "bad-sdk-abi",
				"%s: CELL_INFO: SDK ABI %u, this packer makes cells for %u", path,
				i->sdk_abi, SDK_ABI);
	if (i->grants & ~(uint32_t)GATE_GRANT_ALL)
		r = reasons_add(p->reasons, "bad-info", "%s: CELL_INFO: unknown grants 0x%x", path,
				i->grants & ~(uint32_t)GATE_GRANT_ALL);
	if (i->safety != CELL_SAFE && i->safety != CELL_UNSAFE)
		r = reasons_add(p->reasons, "bad-info",
				"%s: CELL_INFO: .safety must be CELL_SAFE or CELL_UNSAFE", path);
	if (i->grants && i->safety == CELL_SAFE)
		r = reasons_add(p->reasons, "bad-info",
				"%s: CELL_INFO: a cell with gate grants is CELL_UNSAFE", path);
	if (i->quiescence > CELL_QUIESCE_IDLE || i->restart > CELL_RESTART_ALWAYS || i->reserved)
		r = reasons_add(p->reasons, "bad-info",
				"%s: CELL_INFO: .quiescence or .restart is out of range", path);
	return r;
}

static int read_info(struct pack *p)
{
	const struct object_section *s;
	struct cell_info info;
	int64_t n = note_records(p, ".theseus.info", sizeof(info), &s);
	int r;

	if (n < 0)
		return (int)n;
	if (n != 1)
		return reasons_add(p->reasons, "no-info", "%s: %lld CELL_INFO, a cell has one",
				   p->files[0].path, (long long)n);
	memcpy(&info, s->data, sizeof(info));
	r = check_info(p, &info);
	if (r < 0)
		return r;
	p->cell->name = copy_text(info.name);
	p->cell->version = copy_text(info.version);
	p->cell->summary = copy_text(info.summary);
	p->cell->unsafe_reason = copy_text(info.unsafe_reason);
	p->cell->sdk_abi = info.sdk_abi;
	p->cell->grants = info.grants;
	p->cell->safety = (Theseus__Safety)info.safety;
	p->cell->quiescence = (Theseus__Quiescence)info.quiescence;
	p->cell->restart = (Theseus__Restart)info.restart;
	if (!p->cell->name || !p->cell->version || !p->cell->summary || !p->cell->unsafe_reason)
		return -ENOMEM;
	return pack_safety(p, &info);
}

static const struct object_symbol *find_global(const struct pack *p, const char *name)
{
	for (size_t i = 1; i < p->linked.n_symbols; i++) {
		const struct object_symbol *s = &p->linked.symbols[i];

		if (s->bind != STB_LOCAL && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static bool defined_in(const struct pack *p, const struct object_symbol *s, enum pack_section in)
{
	return s && s->place == OBJECT_DEFINED &&
	       pack_section_of(p->linked.sections[s->section].name) == in;
}

static int add_export(struct pack *p, const struct cell_export_note *note)
{
	const char *path = p->files[0].path;
	bool blocking = note->flags & CELL_EXPORT_IS_BLOCKING;
	const struct abi_entry *e;
	Theseus__Export *x;

	if (!terminated(note->name, sizeof(note->name)) || !note->name[0])
		return reasons_add(p->reasons, "bad-export", "%s: CELL_EXPORT: bad name", path);
	for (size_t i = 0; i < p->cell->n_exports; i++)
		if (strcmp(p->cell->exports[i]->name, note->name) == 0)
			return reasons_add(p->reasons, "bad-export", "%s: %s is exported twice",
					   path, note->name);
	if (!defined_in(p, find_global(p, note->name), PACK_TEXT))
		return reasons_add(p->reasons, "bad-export",
				   "%s: export %s: the cell has no such global function", path,
				   note->name);
	e = pack_declared(p, ABI_FUNCTION, note->name);
	if (!e)
		return reasons_add(p->reasons, "undeclared-export",
				   "%s: export %s is declared in no public header", path,
				   note->name);
	if (blocking && !e->restartable)
		return reasons_add(
			p->reasons, "not-restartable",
			"%s: export %s: a blocking export takes at most six integer arguments "
			"and returns a signed integer; it is %s",
			path, note->name, e->signature);
	x = malloc(sizeof(*x));
	if (!x)
		return -ENOMEM;
	theseus__export__init(x);
	x->abi = e->hash;
	x->blocking = blocking;
	x->name = strdup(note->name);
	x->signature = strdup(e->signature);
	p->cell->exports[p->cell->n_exports++] = x;
	return x->name && x->signature ? 0 : -ENOMEM;
}

static int read_exports(struct pack *p)
{
	const struct object_section *s;
	int64_t n = note_records(p, ".theseus.exports", sizeof(struct cell_export_note), &s);
	int all = 0;

	if (n <= 0)
		return (int)n;
	p->cell->exports = calloc((size_t)n, sizeof(*p->cell->exports));
	if (!p->cell->exports)
		return -ENOMEM;
	for (int64_t i = 0; i < n; i++) {
		struct cell_export_note note;
		int r;

		memcpy(&note, s->data + (size_t)i * sizeof(note), sizeof(note));
		r = add_export(p, &note);
		all = r < 0 ? r : all;
	}
	return all;
}

static int add_provide(struct pack *p, const struct cell_provide_note *note)
{
	const char *path = p->files[0].path;
	const struct abi_entry *e;
	Theseus__Provide *v;

	if (!terminated(note->interface, sizeof(note->interface)) ||
	    !terminated(note->name, sizeof(note->name)) ||
	    !terminated(note->symbol, sizeof(note->symbol)) ||
	    !bundle_name_valid(note->interface) || !bundle_name_valid(note->name))
		return reasons_add(
			p->reasons, "bad-provide",
			"%s: CELL_PROVIDE: a name is not [a-z][a-z0-9_]* of at most %u bytes", path,
			CELL_NAME_MAX - 1);
	for (size_t i = 0; i < p->cell->n_provides; i++)
		if (strcmp(p->cell->provides[i]->symbol, note->symbol) == 0)
			return reasons_add(p->reasons, "bad-provide", "%s: %s %s is provided twice",
					   path, note->interface, note->name);
	if (!defined_in(p, find_global(p, note->symbol), PACK_RELRO))
		return reasons_add(p->reasons, "bad-provide", "%s: %s %s: the cell has no table %s",
				   path, note->interface, note->name, note->symbol);
	e = pack_declared(p, ABI_INTERFACE, note->interface);
	if (!e)
		return reasons_add(p->reasons, "bad-provide",
				   "%s: no public header has IFACE_DEFINE(%s)", path,
				   note->interface);
	v = malloc(sizeof(*v));
	if (!v)
		return -ENOMEM;
	theseus__provide__init(v);
	v->abi = e->hash;
	v->interface = strdup(note->interface);
	v->name = strdup(note->name);
	v->symbol = strdup(note->symbol);
	p->cell->provides[p->cell->n_provides++] = v;
	return v->interface && v->name && v->symbol ? 0 : -ENOMEM;
}

static int read_provides(struct pack *p)
{
	const struct object_section *s;
	int64_t n = note_records(p, ".theseus.provides", sizeof(struct cell_provide_note), &s);
	int all = 0;

	if (n <= 0)
		return (int)n;
	p->cell->provides = calloc((size_t)n, sizeof(*p->cell->provides));
	if (!p->cell->provides)
		return -ENOMEM;
	for (int64_t i = 0; i < n; i++) {
		struct cell_provide_note note;
		int r;

		memcpy(&note, s->data + (size_t)i * sizeof(note), sizeof(note));
		r = add_provide(p, &note);
		all = r < 0 ? r : all;
	}
	return all;
}

static int add_consume(struct pack *p, const struct cell_consume_note *note)
{
	if (!terminated(note->interface, sizeof(note->interface)) ||
	    !pack_declared(p, ABI_INTERFACE, note->interface))
		return reasons_add(p->reasons, "bad-consume",
				   "%s: CELL_CONSUMES: no public header has IFACE_DEFINE(%.*s)",
				   p->files[0].path, (int)sizeof(note->interface), note->interface);
	for (size_t i = 0; i < p->cell->n_consumes; i++)
		if (strcmp(p->cell->consumes[i], note->interface) == 0)
			return 0; /* two files of the cell may say so */
	p->cell->consumes[p->cell->n_consumes] = strdup(note->interface);
	return p->cell->consumes[p->cell->n_consumes++] ? 0 : -ENOMEM;
}

static int read_consumes(struct pack *p)
{
	const struct object_section *s;
	int64_t n = note_records(p, ".theseus.consumes", sizeof(struct cell_consume_note), &s);
	int all = 0;

	if (n <= 0)
		return (int)n;
	p->cell->consumes = calloc((size_t)n, sizeof(*p->cell->consumes));
	if (!p->cell->consumes)
		return -ENOMEM;
	for (int64_t i = 0; i < n; i++) {
		struct cell_consume_note note;
		int r;

		memcpy(&note, s->data + (size_t)i * sizeof(note), sizeof(note));
		r = add_consume(p, &note);
		all = r < 0 ? r : all;
	}
	return all;
}

/* The compiler writes notes in an order of its own; the manifest's must not depend on that. */
static int by_export(const void *a, const void *b)
{
	return strcmp((*(Theseus__Export *const *)a)->name, (*(Theseus__Export *const *)b)->name);
}

static int by_provide(const void *a, const void *b)
{
	const Theseus__Provide *x = *(Theseus__Provide *const *)a,
			       *y = *(Theseus__Provide *const *)b;

	return strcmp(x->symbol, y->symbol);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_notes(Theseus__Cell *c)
{
	if (c->n_exports)
		qsort(c->exports, c->n_exports, sizeof(*c->exports), by_export);
	if (c->n_provides)
		qsort(c->provides, c->n_provides, sizeof(*c->provides), by_provide);
	if (c->n_consumes)
		qsort(c->consumes, c->n_consumes, sizeof(*c->consumes), by_text);
}

int pack_notes(struct pack *p)
{
	int (*const steps[])(struct pack *) = {read_info, read_exports, read_provides,
					       read_consumes};
	int all = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i](p);

		all = r < 0 ? r : all;
	}
	if (all == 0)
		sort_notes(p->cell);
	return all;
}
