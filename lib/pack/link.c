/* SPDX-License-Identifier: MIT */
/* All objects to one, with few sections: `ld -r` with a script. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

const char *const pack_section_names[_PACK_SECTION_MAX] = {
	[PACK_TEXT] = ".text",
	[PACK_RODATA] = ".rodata",
	[PACK_RELRO] = ".data.rel.ro",
	[PACK_STATE] = ".theseus.state",
	[PACK_EH_FRAME] = ".eh_frame",
	[PACK_EXCEPT_TABLE] = ".gcc_except_table",
};

enum pack_section pack_section_of(const char *name)
{
	for (int i = 0; i < _PACK_SECTION_MAX; i++)
		if (strcmp(pack_section_names[i], name) == 0)
			return (enum pack_section)i;
	return _PACK_SECTION_INVALID;
}

/*
 * DW.ref.* are pointers to the personality routine, writable only so that a dynamic linker
 * can fill them. A foreign archive's .data.rel.local is data with pointers that its authors
 * did not call const; packing the archive says that nobody writes it, and its pages are sealed.
 */
static void write_script(const struct pack_input *in, struct buf *out)
{
	buf_puts(out, "SECTIONS {\n"
		      ".text 0 : { *(.text .text.*) }\n"
		      ".rodata 0 : { *(.rodata .rodata.*) }\n"
		      ".data.rel.ro 0 : { *(.data.rel.ro .data.rel.ro.*) "
		      "*(.data.DW.ref.* .data.rel.DW.ref.* .data.rel.local.DW.ref.*)");
	for (const char *const *a = in->archives; a && *a; a++) {
		const char *base = strrchr(*a, '/');

		buf_printf(out, " *%s:*(.data.rel.local .data.rel.local.*)", base ? base + 1 : *a);
	}
	buf_puts(out, " }\n"
		      ".theseus.state 0 : { *(.theseus.state) }\n"
		      ".eh_frame 0 : { *(.eh_frame) }\n"
		      ".gcc_except_table 0 : { *(.gcc_except_table .gcc_except_table.*) }\n"
		      "}\n");
}

static int run_linker(struct pack *p, char *script, char *output)
{
	__attribute__((cleanup(buf_done))) struct buf said = {0};
	size_t n = 0, count = 16;
	char **argv;
	int r;

	for (const char *const *o = p->in->objects; *o; o++)
		count++;
	for (const char *const *a = p->in->archives; a && *a; a++)
		count++;
	argv = calloc(count, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	argv[n++] = (char *)(uintptr_t) "ld";
	argv[n++] = (char *)(uintptr_t) "-r";
	argv[n++] = (char *)(uintptr_t) "--force-group-allocation";
	argv[n++] = (char *)(uintptr_t) "-T";
	argv[n++] = script;
	argv[n++] = (char *)(uintptr_t) "-o";
	argv[n++] = output;
	for (const char *const *o = p->in->objects; *o; o++)
		argv[n++] = (char *)(uintptr_t)*o;
	for (const char *const *a = p->in->archives; a && *a; a++)
		argv[n++] = (char *)(uintptr_t)*a;
	r = child_run(argv, &said);
	free(argv);
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
			return reasons_add(p->reasons, "bad-object", "%s: %s", f->path, strerror(-r));
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
