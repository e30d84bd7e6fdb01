/* SPDX-License-Identifier: MIT */
/* All objects to one, with few sections: `ld -r` with a script. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/cell.h>

#include "base/file.h"

const char *const pack_section_names[_PACK_SECTION_MAX] = {
	[PACK_TEXT] = ".text",         [PACK_RODATA] = ".rodata",
	[PACK_RELRO] = ".data.rel.ro", [PACK_STATE] = ".theseus.state",
	[PACK_EH_FRAME] = ".eh_frame", [PACK_EXCEPT_TABLE] = ".gcc_except_table",
};

enum pack_section pack_section_of(const char *name)
{
	for (int i = 0; i < _PACK_SECTION_MAX; i++)
		if (strcmp(pack_section_names[i], name) == 0)
			return (enum pack_section)i;
	return _PACK_SECTION_INVALID;
}

/* Notes of cell.h, and where a record of theirs names a symbol of the cell. */
static const struct {
	const char *name;
	size_t record, symbol; /* 0: names none */
} note_sections[] = {
	{".theseus.info", 0, 0},
	{".theseus.exports", sizeof(struct cell_export_note),
	 offsetof(struct cell_export_note, name)},
	{".theseus.provides", sizeof(struct cell_provide_note),
	 offsetof(struct cell_provide_note, symbol)},
	{".theseus.consumes", 0, 0},
};

static const char *archive_name(const char *path)
{
	const char *base = strrchr(path, '/');

	return base ? base + 1 : path;
}

/*
 * DW.ref.* are pointers to the personality routine, writable only so that a dynamic linker
 * can fill them. A foreign archive's .data.rel.local is data with pointers that its authors
 * did not call const; packing the archive says that nobody writes it, and its pages are sealed.
 * Its other writable data follows the cell's own state.
 */
static void write_script(const struct pack_input *in, struct buf *out)
{
	buf_puts(out,
		 "SECTIONS {\n"
		 ".text 0 : { *(.text .text.*) }\n"
		 ".rodata 0 : { *(.rodata .rodata.*) }\n"
		 ".data.rel.ro 0 : { KEEP(*(.data.rel.ro.provides)) *(.data.rel.ro .data.rel.ro.*) "
		 "*(.data.DW.ref.* .data.rel.DW.ref.* .data.rel.local.DW.ref.*)");
	for (const char *const *a = in->archives; a && *a; a++)
		buf_printf(out, " *%s:*(.data.rel.local .data.rel.local.*)", archive_name(*a));
	buf_puts(out, " }\n"
		      ".theseus.state 0 : { KEEP(*(.theseus.state))");
	for (const char *const *a = in->archives; a && *a; a++)
		buf_printf(out, " *%s:*(.data .data.* .bss .bss.*)", archive_name(*a));
	buf_puts(out, " }\n"
		      ".eh_frame 0 : { KEEP(*(.eh_frame)) }\n"
		      ".gcc_except_table 0 : { *(.gcc_except_table .gcc_except_table.*) }\n");
	for (size_t i = 0; i < sizeof(note_sections) / sizeof(note_sections[0]); i++)
		buf_printf(out, "%s 0 : { KEEP(*(%s)) }\n", note_sections[i].name,
			   note_sections[i].name);
	buf_puts(out, "}\n");
}

/* Arguments for the linker: owned strings. */
struct arguments {
	char **argv; /* NULL-terminated */
	size_t n, cap;
	bool failed;
};

static void arguments_done(struct arguments *a)
{
	while (a->n)
		free(a->argv[--a->n]);
	free(a->argv);
}

static void add_argument(struct arguments *a, const char *text)
{
	if (a->n + 1 >= a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 64;
		char **more = reallocarray(a->argv, cap, sizeof(*more));

		if (!more) {
			a->failed = true;
			return;
		}
		a->argv = more;
		a->cap = cap;
	}
	a->argv[a->n] = strdup(text);
	a->failed |= !a->argv[a->n];
	if (a->argv[a->n])
		a->argv[++a->n] = NULL;
}

/* What the notes of one object name becomes a root. */
static void add_roots(struct arguments *a, const struct object *o)
{
	for (size_t i = 0; i < sizeof(note_sections) / sizeof(note_sections[0]); i++) {
		uint32_t at = object_section_find(o, note_sections[i].name);
		size_t record = note_sections[i].record;
		char name[CELL_SYMBOL_MAX + 1] = "";

		if (!record || at == OBJECT_NONE || !o->sections[at].data)
			continue;
		for (size_t k = 0; k < o->sections[at].size / record; k++) {
			memcpy(name, o->sections[at].data + k * record + note_sections[i].symbol,
			       CELL_SYMBOL_MAX);
			add_argument(a, "-u");
			add_argument(a, name);
		}
	}
}

/*
 * With a foreign archive comes much that the cell never calls, generated code included: what
 * neither an export nor a provided table leads to is dropped, as far as it was compiled into
 * sections of its own. A cell's own code is not searched for what is dead: that is its
 * author's business, and the compiler's.
 */
static void add_collection(struct pack *p, struct arguments *a)
{
	size_t before = a->n;

	if (!p->in->archives || !p->in->archives[0])
		return;
	for (size_t i = 0; i < p->n_files; i++)
		add_roots(a, &p->files[i].object);
	if (a->n > before)
		add_argument(a, "--gc-sections");
}

static int run_linker(struct pack *p, const char *script, const char *output)
{
	__attribute__((cleanup(buf_done))) struct buf said = {0};
	__attribute__((cleanup(arguments_done))) struct arguments a = {0};
	const char *const head[] = {"ld", "-r",  "--force-group-allocation", "-T", script,
				    "-o", output};
	int r;

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		add_argument(&a, head[i]);
	add_collection(p, &a);
	for (const char *const *o = p->in->objects; *o; o++)
		add_argument(&a, *o);
	for (const char *const *l = p->in->archives; l && *l; l++)
		add_argument(&a, *l);
	if (a.failed)
		return -ENOMEM;
	r = child_run(a.argv, &said);
	if (r < 0)
		return reasons_add(p->reasons, "link-failed", "ld cannot be run: %s", strerror(-r));
	if (r > 0)
		return reasons_add(p->reasons, "link-failed", "%s", buf_str(&said));
	return 0;
}

/* The source that an object was compiled from, as the compiler was told; else @path. */
static const char *source_of(const struct object *o, const char *path)
{
	for (size_t i = 1; i < o->n_symbols; i++)
		if (o->symbols[i].type == STT_FILE && *o->symbols[i].name)
			return o->symbols[i].name;
	return path;
}

static int read_files(struct pack *p)
{
	size_t n = 0;

	while (p->in->objects[n])
		n++;
	p->files = calloc(n ? n : 1, sizeof(*p->files));
	if (!p->files)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct pack_file *f = &p->files[p->n_files++];
		int r;

		f->path = p->in->objects[i];
		r = file_read(f->path, OBJECT_BYTES_MAX, &f->data, &f->size);
		if (r < 0)
			return reasons_add(p->reasons, "bad-object", "%s: %s", f->path,
					   strerror(-r));
		r = object_parse(f->path, f->data, f->size, &f->object, p->reasons);
		if (r < 0)
			return r;
		f->path = source_of(&f->object, f->path);
	}
	return 0;
}

int pack_link(struct pack *p)
{
	__attribute__((cleanup(temp_dir_drop))) char *temp = temp_dir();
	__attribute__((cleanup(str_free))) char *script = NULL;
	__attribute__((cleanup(str_free))) char *output = NULL;
	__attribute__((cleanup(buf_done))) struct buf text = {0};
	size_t size = 0;
	int r = read_files(p);

	if (r < 0)
		return r;
	if (!temp)
		return -errno;
	if (asprintf(&script, "%s/cell.ld", temp) < 0 || asprintf(&output, "%s/cell.o", temp) < 0)
		return -ENOMEM;
	write_script(p->in, &text);
	r = buf_ok(&text) ? file_write(script, text.data, text.len) : -ENOMEM;
	if (r == 0)
		r = run_linker(p, script, output);
	if (r == 0)
		r = file_read(output, OBJECT_BYTES_MAX, &p->linked_data, &size);
	if (r == 0)
		r = object_parse("the linked object", p->linked_data, size, &p->linked, p->reasons);
	return r;
}
