/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "rules.h"

void own_files_done(struct own_files *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->files[i].path);
		free(o->files[i].text);
		free(o->files[i].code);
		free(o->files[i].unsafe);
	}
	for (size_t i = 0; i < o->n_dirs; i++)
		free(o->dirs[i]);
	free(o->files);
	free(o->dirs);
	free(o->ops);
	*o = (struct own_files){0};
}

/* The real path of a folder with a '/' at its end; NULL with errno. */
static char *dir_of(const char *path)
{
	char *real = realpath(path, NULL), *dir = NULL;
	struct stat st;

	if (!real)
		return NULL;
	if (stat(real, &st) == 0 && !S_ISDIR(st.st_mode))
		*strrchr(real, '/') = 0;
	if (asprintf(&dir, "%s/", real) < 0) {
		dir = NULL;
		errno = ENOMEM;
	}
	free(real);
	return dir;
}

int own_files_add_dir(struct own_files *o, const char *path)
{
	char *real = dir_of(path), **dirs;

	if (!real)
		return -errno;
	for (size_t i = 0; i < o->n_dirs; i++)
		if (strcmp(o->dirs[i], real) == 0) {
			free(real);
			return 0;
		}
	dirs = realloc(o->dirs, (o->n_dirs + 1) * sizeof(*dirs));
	if (!dirs) {
		free(real);
		return -ENOMEM;
	}
	o->dirs = dirs;
	o->dirs[o->n_dirs++] = real;
	return 0;
}

static bool is_own(const struct own_files *o, const char *path)
{
	for (size_t i = 0; i < o->n_dirs; i++)
		if (strncmp(path, o->dirs[i], strlen(o->dirs[i])) == 0)
			return true;
	return false;
}

static int load(struct own_file *f, const char *path)
{
	uint8_t *data;
	int r = file_read(path, CHECK_FILE_BYTES, &data, &f->size);

	if (r < 0)
		return r;
	f->text = (char *)data;
	f->path = strdup(path);
	r = check_code_lines(f->text, f->size, &f->code, &f->n_lines);
	if (r == 0)
		f->unsafe = calloc(f->n_lines, 1);
	if (f->path && f->unsafe)
		return 0;
	free(f->path);
	free(f->text);
	free(f->code);
	free(f->unsafe);
	return -ENOMEM;
}

int64_t own_files_find(struct own_files *o, const char *path)
{
	struct own_file f = {0}, *files;
	int r;

	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->files[i].path, path) == 0)
			return (int64_t)i;
	if (!is_own(o, path))
		return -ENOENT;
	files = realloc(o->files, (o->n + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	o->files = files;
	r = load(&f, path);
	if (r < 0)
		return r;
	o->files[o->n] = f;
	return (int64_t)o->n++;
}

int own_files_op(struct own_files *o, size_t file, enum unsafe_kind kind, unsigned int first,
		 unsigned int last, unsigned int column)
{
	struct own_file *f = &o->files[file];

	if (o->n_ops == o->ops_cap) {
		size_t cap = o->ops_cap ? 2 * o->ops_cap : 64;
		struct own_op *ops = realloc(o->ops, cap * sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		o->ops = ops;
		o->ops_cap = cap;
	}
	o->ops[o->n_ops++] = (struct own_op){file, first, column, kind};
	for (size_t i = first; i <= last && i <= f->n_lines; i++)
		f->unsafe[i - 1] = f->code[i - 1];
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct own_op *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static void add_op(const struct own_files *o, const struct own_op *op, struct safety *s)
{
	const char *path = o->files[op->file].path;
	size_t root = o->root ? strlen(o->root) : 0;
	char where[4200];

	if (root && strncmp(path, o->root, root) == 0 && path[root] == '/')
		path += root + 1;
	(void)snprintf(where, sizeof(where), "%s:%u", path, op->line);
	safety_add(s, op->kind, where);
}

void own_files_sum(struct own_files *o, struct safety *s)
{
	if (o->n_ops)
		qsort(o->ops, o->n_ops, sizeof(*o->ops), by_place);
	for (size_t i = 0; i < o->n_ops; i++)
		if (i == 0 || by_place(&o->ops[i - 1], &o->ops[i]) != 0)
			add_op(o, &o->ops[i], s);
	for (size_t i = 0; i < o->n; i++)
		for (size_t k = 0; k < o->files[i].n_lines; k++) {
			s->code_lines += o->files[i].code[k];
			s->unsafe_lines += o->files[i].unsafe[k];
		}
}
