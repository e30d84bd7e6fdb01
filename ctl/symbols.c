/* SPDX-License-Identifier: MIT */
/*
 * symbols: what gdb must be told to see the cells that are loaded now. A cell's debug file is
 * found by its build id among the *.debug files of a folder; where its sections lie follows
 * from the addresses of the cell's regions and the loader's rule for filling them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cells.h"
#include "commands.h"
#include "render.h"
#include "run.h"
#include "target.h"
#include "util.h"

#define FILES_MAX 4096

struct debug_file {
	int fd;
	Elf *elf;
};

static void debug_file_close(struct debug_file *f)
{
	(void)elf_end(f->elf);
	close_fd(&f->fd);
}

static const char *section_name(const struct debug_file *f, const Elf64_Shdr *sh)
{
	Elf64_Ehdr *eh = elf64_getehdr(f->elf);
	const char *name = eh ? elf_strptr(f->elf, eh->e_shstrndx, sh->sh_name) : NULL;

	return name ? name : "";
}

/* Does the note section @scn hold the build id @id? */
static bool note_matches(Elf_Scn *scn, ProtobufCBinaryData id)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t at = 0, name, desc, next;
	GElf_Nhdr nhdr;

	while (data && (next = gelf_getnote(data, at, &nhdr, &name, &desc)) > 0) {
		const uint8_t *bytes = data->d_buf;

		if (nhdr.n_type == NT_GNU_BUILD_ID && nhdr.n_namesz == 4 &&
		    !memcmp(bytes + name, "GNU", 4) && nhdr.n_descsz == id.len &&
		    !memcmp(bytes + desc, id.data, id.len))
			return true;
		at = next;
	}
	return false;
}

static bool file_matches(const struct debug_file *f, ProtobufCBinaryData id)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(f->elf, scn))) {
		Elf64_Shdr *sh = elf64_getshdr(scn);

		if (sh && sh->sh_type == SHT_NOTE && note_matches(scn, id))
			return true;
	}
	return false;
}

/*
 * Sections lie in their region in the order of the file, each at its own alignment. Writable
 * ones are the state, but for those that only relocation writes.
 */
static void place_sections(const struct debug_file *f, struct symbols_view *v)
{
	uint64_t text = v->cell->text_addr, rodata = v->cell->rodata_addr,
		 state = v->cell->state_addr;
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(f->elf, scn)) && v->n_sections < SYMBOLS_SECTIONS_MAX) {
		Elf64_Shdr *sh = elf64_getshdr(scn);
		const char *name = sh ? section_name(f, sh) : "";
		uint64_t align, *at = &rodata;

		if (!sh || !(sh->sh_flags & SHF_ALLOC) || !sh->sh_size || sh->sh_type == SHT_NOTE)
			continue;
		if (sh->sh_flags & SHF_EXECINSTR)
			at = &text;
		else if ((sh->sh_flags & SHF_WRITE) && strncmp(name, ".data.rel.ro", 12) != 0)
			at = &state;
		align = sh->sh_addralign ? sh->sh_addralign : 1;
		*at = (*at + align - 1) / align * align;
		if (strlen(name) < sizeof(v->sections[0].name)) {
			memcpy(v->sections[v->n_sections].name, name, strlen(name) + 1);
			v->sections[v->n_sections++].addr = *at;
		}
		*at += sh->sh_size;
	}
}

/* Opens an ELF object; a file that is none is passed over. */
static bool debug_file_open(const char *path, struct debug_file *f)
{
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0)
		return false;
	f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (f->elf && elf64_getehdr(f->elf))
		return true;
	debug_file_close(f);
	return false;
}

static void match_file(const char *path, struct symbols_view *views, size_t n)
{
	struct debug_file f;

	if (!debug_file_open(path, &f))
		return;
	for (size_t i = 0; i < n; i++) {
		if (views[i].file || !views[i].cell->build_id.len ||
		    !file_matches(&f, views[i].cell->build_id))
			continue;
		views[i].file = strdup(path);
		if (views[i].file)
			place_sections(&f, &views[i]);
	}
	debug_file_close(&f);
}

static int match_files(struct ctl *c, struct symbols_view *views, size_t n)
{
	char buf[RUN_PATH_SIZE];
	const char *dir = getenv("THESEUS_DEBUG_DIR"), *build = run_build_dir(buf);
	CLEANUP_FREE char *built = NULL;
	struct dirent **entries;
	int count;

	if (build && asprintf(&built, "%s/cells", build) < 0)
		return ctl_oom(c);
	if (!dir || !*dir)
		dir = built ? built : THESEUS_DATADIR "/debug";
	if (elf_version(EV_CURRENT) == EV_NONE)
		return ctl_error(c, CTL_FAILED, "system", "libelf does not fit");
	count = scandir(dir, &entries, NULL, alphasort);
	if (count < 0)
		return ctl_error(c, CTL_FAILED, "no-debug-files",
				 "%s: %s ($THESEUS_DEBUG_DIR says where the debug files are)", dir,
				 strerror(errno));
	for (int i = 0; i < count; i++) {
		size_t len = strlen(entries[i]->d_name);
		CLEANUP_FREE char *path = NULL;

		if (i < FILES_MAX && len > 6 && !strcmp(entries[i]->d_name + len - 6, ".debug") &&
		    asprintf(&path, "%s/%s", dir, entries[i]->d_name) >= 0)
			match_file(path, views, n);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

int cmd_symbols(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct symbols_view *views;
	struct target target;
	size_t n;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r)
		r = cells_get(cl, NULL, &response);
	if (r)
		return r;
	n = response->cells->n_cells;
	views = calloc(n + 1, sizeof(*views));
	if (!views)
		return ctl_oom(c);
	for (size_t i = 0; i < n; i++)
		views[i].cell = response->cells->cells[i];
	r = match_files(c, views, n);
	if (!r)
		(c->json ? json_symbols : text_symbols)(c, views, n);
	for (size_t i = 0; i < n; i++)
		free(views[i].file);
	free(views);
	return r;
}
