/* SPDX-License-Identifier: MIT */
/*
 * cellpack: the build's own packer. Not installed; operators use `theseusctl cell build`.
 *
 *   cellpack abi -o FILE [-d DEPFILE] [-c CC] [-I DIR]... [-s DIR]... -- FLAG...
 *   cellpack cell -n NAME -u REPORT -a ABI... [-l ARCHIVE]... -o BUNDLE -g DEBUG OBJECT...
 *   cellpack join -o BUNDLE [-q SEQUENCE] BUNDLE...
 *   cellpack check BUNDLE
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "abi/index.h"
#include "base/file.h"
#include "bundle/bundle.h"
#include "pack.h"

#define LIST_MAX 512u
#define REPORT_BYTES_MAX (64u << 10)

struct list {
	const char *item[LIST_MAX + 1]; /* NULL-terminated */
	size_t n;
};

struct options {
	const char *output, *depfile, *debug, *name, *cc, *report;
	uint64_t sequence;
	struct list includes, scans, abis, archives, rest;
};

static int usage(void)
{
	fprintf(stderr, "usage: cellpack abi|cell|join|check ..., see the head of its source\n");
	return 2;
}

static int say(const struct reasons *r, int error)
{
	for (size_t i = 0; i < r->n; i++)
		fprintf(stderr, "cellpack: %s\n", r->text[i]);
	if (r->more)
		fprintf(stderr, "cellpack: and %zu more\n", r->more);
	if (!r->n)
		fprintf(stderr, "cellpack: %s\n", strerror(-error));
	return 1;
}

static bool push(struct list *l, const char *item)
{
	if (l->n == LIST_MAX)
		return false;
	l->item[l->n++] = item;
	return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
	bool ok = true;
	int c;

	while (ok && (c = getopt(argc, argv, "o:d:c:I:s:n:a:l:g:q:u:")) != -1) {
		switch (c) {
		case 'o':
			o->output = optarg;
			break;
		case 'd':
			o->depfile = optarg;
			break;
		case 'c':
			o->cc = optarg;
			break;
		case 'g':
			o->debug = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case 'q':
			o->sequence = strtoull(optarg, NULL, 10);
			break;
		case 'u':
			o->report = optarg;
			break;
		case 'I':
			ok = push(&o->includes, optarg);
			break;
		case 's':
			ok = push(&o->scans, optarg);
			break;
		case 'a':
			ok = push(&o->abis, optarg);
			break;
		case 'l':
			ok = push(&o->archives, optarg);
			break;
		default:
			return false;
		}
	}
	for (; ok && optind < argc; optind++)
		ok = push(&o->rest, argv[optind]);
	return ok;
}

static int write_depfile(const struct options *o, struct buf *lines)
{
	__attribute__((cleanup(buf_done))) struct buf b = {0};
	char *save = NULL;

	buf_printf(&b, "%s:", o->output);
	buf_puts(lines, "");
	for (char *l = lines->len ? strtok_r((char *)lines->data, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		buf_printf(&b, " %s", l);
	buf_puts(&b, "\n");
	return buf_ok(&b) && buf_ok(lines) ? file_write(o->depfile, b.data, b.len) : -ENOMEM;
}

static int run_abi(const struct options *o, struct reasons *reasons)
{
	struct abi_compiler compiler = {o->cc ? o->cc : "gcc", o->rest.item, o->includes.item};
	__attribute__((cleanup(abi_index_done))) struct abi_index index = {0};
	__attribute__((cleanup(buf_done))) struct buf depends = {0};
	__attribute__((cleanup(buf_done))) struct buf text = {0};
	int r;

	if (!o->output || !o->scans.n)
		return -EINVAL;
	r = abi_index_scan(&compiler, o->scans.item, &index, &depends, reasons);
	if (r == 0)
		r = abi_index_sort(&index, reasons);
	if (r < 0)
		return r;
	abi_index_write(&index, &text);
	r = buf_ok(&text) ? file_update(o->output, text.data, text.len) : -ENOMEM;
	if (r == 0 && o->depfile)
		r = write_depfile(o, &depends);
	return r;
}

static int pack_to_files(const struct options *o, const struct pack_input *in,
			 struct reasons *reasons)
{
	__attribute__((cleanup(packed_done))) struct packed packed = {0};
	__attribute__((cleanup(buf_done))) struct buf out = {0};
	struct bundle_header header = {0};
	struct bundle_input cell;
	int r = pack_cell(in, &packed, reasons);

	if (r < 0)
		return r;
	cell = (struct bundle_input){packed.manifest, packed.object.data, packed.object.len};
	r = bundle_write(&header, &cell, 1, &out);
	if (r == 0)
		r = file_update(o->output, out.data, out.len);
	if (r == 0 && o->debug)
		r = file_update(o->debug, packed.debug.data, packed.debug.len);
	return r;
}

static int load_report(const char *path, struct safety *ret_safety, struct reasons *reasons)
{
	__attribute__((cleanup(str_free))) char *text = NULL;
	uint8_t *data;
	size_t size;
	int r = file_read(path, REPORT_BYTES_MAX, &data, &size);

	if (r < 0)
		return reasons_add(reasons, "bad-report", "%s: %s", path, strerror(-r));
	text = (char *)data;
	return safety_read(path, text, ret_safety, reasons);
}

static int run_cell(const struct options *o, struct reasons *reasons)
{
	struct abi_index indices[8] = {0};
	const struct abi_index *list[9] = {0};
	struct safety safety;
	struct pack_input in = {o->name, o->rest.item, o->archives.item, list, &safety};
	int r = 0;

	if (!o->output || !o->report || !o->rest.n || o->abis.n > 8)
		return -EINVAL;
	r = load_report(o->report, &safety, reasons);
	for (size_t i = 0; i < o->abis.n && r == 0; i++) {
		r = abi_index_load(o->abis.item[i], &indices[i], reasons);
		if (r == 0)
			r = abi_index_sort(&indices[i], reasons);
		list[i] = &indices[i];
	}
	if (r == 0)
		r = pack_to_files(o, &in, reasons);
	for (size_t i = 0; i < o->abis.n; i++)
		abi_index_done(&indices[i]);
	return r;
}

static int join(const struct options *o, struct bundle **bundles, struct bundle_input *cells,
		struct reasons *reasons)
{
	__attribute__((cleanup(buf_done))) struct buf out = {0};
	struct bundle_header header = {.sequence = o->sequence};
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < o->rest.n && r == 0; i++) {
		r = bundle_open_file(o->rest.item[i], &bundles[i], reasons);
		for (size_t k = 0; r == 0 && k < bundle_n_cells(bundles[i]) && n < BUNDLE_CELLS_MAX;
		     k++) {
			struct bundle_cell c = bundle_cell_at(bundles[i], k);

			cells[n++] = (struct bundle_input){c.manifest, c.object, c.size};
		}
	}
	if (r == 0)
		r = bundle_write(&header, cells, n, &out);
	return r == 0 ? file_update(o->output, out.data, out.len) : r;
}

static int run_join(const struct options *o, struct reasons *reasons)
{
	struct bundle **bundles = calloc(o->rest.n + 1, sizeof(struct bundle *));
	struct bundle_input *cells = calloc(BUNDLE_CELLS_MAX, sizeof(*cells));
	int r = -ENOMEM;

	if (bundles && cells)
		r = o->output && o->rest.n ? join(o, bundles, cells, reasons) : -EINVAL;
	for (size_t i = 0; bundles && i < o->rest.n; i++)
		bundle_free(bundles[i]);
	free(bundles);
	free(cells);
	return r;
}

/* The cell at or before @last that exports @name; NULL when there is none. */
static const Theseus__Export *find_export(const struct bundle *b, size_t last, const char *name)
{
	for (size_t i = 0; i <= last; i++) {
		const Theseus__Cell *c = bundle_cell_at(b, i).manifest;

		for (size_t k = 0; k < c->n_exports; k++)
			if (strcmp(c->exports[k]->name, name) == 0)
				return c->exports[k];
	}
	return NULL;
}

/*
 * Whether a bundle can be linked by itself, cell by cell in its order: every import is an
 * export, of the same type, of a cell that comes before.
 */
static int run_check(const struct options *o, struct reasons *reasons)
{
	__attribute__((cleanup(bundle_drop))) struct bundle *b = NULL;
	int r = o->rest.n == 1 ? bundle_open_file(o->rest.item[0], &b, reasons) : -EINVAL;

	for (size_t i = 0; b && i < bundle_n_cells(b); i++) {
		const Theseus__Cell *c = bundle_cell_at(b, i).manifest;

		for (size_t k = 0; k < c->n_imports; k++) {
			const Theseus__Export *e = find_export(b, i, c->imports[k]->name);

			if (!e)
				r = reasons_add(reasons, "missing-symbol",
						"%s: no cell before it exports %s", c->name,
						c->imports[k]->name);
			else if (e->abi != c->imports[k]->abi)
				r = reasons_add(reasons, "abi-mismatch",
						"%s: %s: compiled against another type than %s",
						c->name, e->name, e->signature);
		}
	}
	return r;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int (*run)(const struct options *o, struct reasons *reasons);
	} verbs[] = {
		{"abi", run_abi}, {"cell", run_cell}, {"join", run_join}, {"check", run_check}};
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	static struct options o;

	if (argc < 2 || sodium_init() < 0 || !parse(argc - 1, argv + 1, &o))
		return usage();
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int r;

		if (strcmp(verbs[i].verb, argv[1]) != 0)
			continue;
		r = verbs[i].run(&o, &reasons);
		if (r == -EINVAL && !reasons.n)
			return usage();
		return r < 0 ? say(&reasons, r) : 0;
	}
	return usage();
}
