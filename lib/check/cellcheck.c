/* SPDX-License-Identifier: MIT */
/*
 * theseus-cellcheck: writes the safety report of a cell's sources (rules.h, report.h). A
 * program of its own because libclang takes longer to load than all that theseusctl does.
 *
 *   theseus-cellcheck [OPTION]... SOURCE... -- FLAG...
 *   theseus-cellcheck [OPTION]... -c COMMANDS OBJECT...
 *   options: -o FILE  -d DEPFILE  -r ROOT  -w DIR (own, beside the sources' folders)  -l FOREIGN
 *
 * The second form is the build's: COMMANDS says how the objects are made. ROOT is the tree of
 * the sources. A source outside of it, or below the folder of COMMANDS, where the build
 * writes, was generated, and counts as foreign.
 *
 * Status: 0; 1 where sources cannot be read, with the reasons in the report; 2 for wrong use.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "commands.h"

#define LIST_MAX 512u

struct options {
	const char *output, *depfile, *root, *commands;
	const char *foreign[LIST_MAX + 1], *dirs[LIST_MAX + 1];
	size_t n_foreign, n_dirs;
	const char *const *rest, *const *flags; /* NULL-terminated parts of argv */
};

static bool parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "+c:o:d:r:w:l:")) != -1) {
		if (c == 'c')
			o->commands = optarg;
		else if (c == 'o')
			o->output = optarg;
		else if (c == 'd')
			o->depfile = optarg;
		else if (c == 'r')
			o->root = optarg;
		else if (c == 'w' && o->n_dirs < LIST_MAX)
			o->dirs[o->n_dirs++] = optarg;
		else if (c == 'l' && o->n_foreign < LIST_MAX)
			o->foreign[o->n_foreign++] = optarg;
		else
			return false;
	}
	o->rest = (const char *const *)argv + optind;
	for (int i = optind; i < argc && !o->flags; i++)
		if (strcmp(argv[i], "--") == 0) {
			argv[i] = NULL;
			o->flags = (const char *const *)argv + i + 1;
		}
	return !o->flags == !!o->commands && (*o->rest || o->n_foreign) &&
	       (o->output || !o->depfile);
}

static int write_depfile(const struct options *o, const struct buf *depends)
{
	__attribute__((cleanup(buf_done))) struct buf b = {0};
	const char *at = buf_str(depends);

	buf_printf(&b, "%s:", o->output);
	for (; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		buf_puts(&b, " ");
		buf_put(&b, at, strcspn(at, "\n"));
	}
	buf_puts(&b, "\n");
	return buf_ok(&b) ? file_write(o->depfile, b.data, b.len) : -ENOMEM;
}

static int write_report(const struct options *o, const struct buf *report)
{
	if (!buf_ok(report))
		return -ENOMEM;
	if (o->output)
		return file_update(o->output, report->data, report->len);
	return fwrite(report->data, 1, report->len, stdout) == report->len ? 0 : -EIO;
}

static bool below(const char *root, const char *path)
{
	char *real = realpath(path, NULL), *top = realpath(root, NULL);
	size_t n = top ? strlen(top) : 0;
	bool found = real && top && strncmp(real, top, n) == 0 && real[n] == '/';

	free(real);
	free(top);
	return found;
}

static bool generated(const struct options *o, const char *path)
{
	const char *slash = strrchr(o->commands, '/');
	char *build = slash ? strndup(o->commands, (size_t)(slash - o->commands)) : strdup(".");
	bool found = (build && below(build, path)) || (o->root && !below(o->root, path));

	free(build);
	return found;
}

static int check_commands(struct options *o, struct safety *ret_safety, struct buf *depends,
			  struct reasons *reasons)
{
	__attribute__((cleanup(commands_done))) struct commands c = {0};
	struct check_input in = {.dirs = o->dirs, .foreign = o->foreign, .root = o->root};
	struct check_source sources[LIST_MAX];
	int r = commands_load(o->commands, o->rest, &c, reasons);

	for (size_t i = 0; r == 0 && i < c.n && i < LIST_MAX; i++) {
		if (!generated(o, c.sources[i].path))
			sources[in.n_sources++] = c.sources[i];
		else if (o->n_foreign < LIST_MAX)
			o->foreign[o->n_foreign++] = c.sources[i].path;
	}
	in.sources = sources;
	return r == 0 ? check_sources(&in, ret_safety, depends, reasons) : r;
}

static int check_listed(struct options *o, struct safety *ret_safety, struct buf *depends,
			struct reasons *reasons)
{
	struct check_input in = {.dirs = o->dirs, .foreign = o->foreign, .root = o->root};
	struct check_source sources[LIST_MAX];

	for (; o->rest[in.n_sources] && in.n_sources < LIST_MAX; in.n_sources++)
		sources[in.n_sources] = (struct check_source){o->rest[in.n_sources], o->flags};
	in.sources = sources;
	return check_sources(&in, ret_safety, depends, reasons);
}

static int run(struct options *o)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	__attribute__((cleanup(buf_done))) struct buf depends = {0};
	__attribute__((cleanup(buf_done))) struct buf report = {0};
	struct safety safety;
	int checked = (o->commands ? check_commands : check_listed)(o, &safety, &depends, &reasons);
	int r;

	if (checked == 0)
		safety_write(&safety, &report);
	for (size_t i = 0; i < reasons.n; i++)
		buf_printf(&report, "broken %s\n", reasons.text[i]);
	r = checked == 0 || reasons.n ? write_report(o, &report) : checked;
	if (r == 0 && o->depfile)
		r = write_depfile(o, &depends);
	if (r < 0)
		(void)fprintf(stderr, "theseus-cellcheck: %s\n", strerror(-r));
	/* in a build nobody else says so */
	for (size_t i = 0; o->output && i < reasons.n; i++)
		(void)fprintf(stderr, "theseus-cellcheck: %s\n", reasons.text[i]);
	return r < 0 || checked < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct options o;

	if (!parse(argc, argv, &o)) {
		(void)fprintf(stderr, "usage: theseus-cellcheck ..., see the head of its source\n");
		return 2;
	}
	return run(&o);
}
