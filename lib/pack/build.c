/* SPDX-License-Identifier: MIT */
#include "build.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define SDK_BYTES_MAX (64u << 10)
#define LIST_MAX 512u
#define REPORT_BYTES_MAX (64u << 10)

#define OWNED_STR __attribute__((cleanup(str_free))) char *

/* Owned strings, NULL-terminated. */
struct strings {
	char *item[LIST_MAX + 1];
	size_t n;
};

static void strings_done(struct strings *s)
{
	while (s->n)
		free(s->item[--s->n]);
}

/* Takes over @item; NULL says that memory ran out. */
static int strings_take(struct strings *s, char *item)
{
	if (!item)
		return -ENOMEM;
	if (s->n == LIST_MAX) {
		free(item);
		return -E2BIG;
	}
	s->item[s->n++] = item;
	s->item[s->n] = NULL;
	return 0;
}

static char **strings_copy(const struct strings *s)
{
	char **copy = calloc(s->n + 1, sizeof(*copy));

	if (copy)
		memcpy(copy, s->item, s->n * sizeof(*copy));
	return copy;
}

static void list_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

void sdk_done(struct sdk *sdk)
{
	list_free(sdk->includes);
	list_free(sdk->flags);
	free(sdk->example);
	abi_index_done(&sdk->abi);
	*sdk = (struct sdk){0};
}

/* @value as it is when absolute, else below the folder of @path. */
static char *beside(const char *path, const char *value)
{
	const char *slash = strrchr(path, '/');
	char *joined;

	if (*value == '/' || !slash)
		return strdup(value);
	return asprintf(&joined, "%.*s%s", (int)(slash + 1 - path), path, value) < 0 ? NULL
										     : joined;
}

struct sdk_lines {
	struct strings includes, flags;
	struct sdk *sdk;
};

static int read_line(const char *path, char *line, struct sdk_lines *l, struct reasons *reasons)
{
	char *value = strchr(line, ' ');
	OWNED_STR file = NULL;

	if (!*line || *line == '#')
		return 0;
	if (value)
		*value++ = 0;
	if (!value || !*value)
		return reasons_add(reasons, "bad-sdk", "%s: '%s' without a value", path, line);
	if (strcmp(line, "flag") == 0)
		return strings_take(&l->flags, strdup(value));
	if (strcmp(line, "include") == 0)
		return strings_take(&l->includes, beside(path, value));
	if (strcmp(line, "example") == 0) {
		free(l->sdk->example);
		l->sdk->example = beside(path, value);
		return l->sdk->example ? 0 : -ENOMEM;
	}
	if (strcmp(line, "abi") != 0)
		return reasons_add(reasons, "bad-sdk", "%s: '%s' is nothing an SDK has", path,
				   line);
	file = beside(path, value);
	return file ? abi_index_load(file, &l->sdk->abi, reasons) : -ENOMEM;
}

int sdk_load(const char *path, struct sdk *ret_sdk, struct reasons *reasons)
{
	__attribute__((cleanup(sdk_done))) struct sdk sdk = {0};
	struct sdk_lines l = {.sdk = &sdk};
	OWNED_STR text = NULL;
	char *save = NULL;
	uint8_t *data;
	size_t size;
	int r = file_read(path, SDK_BYTES_MAX, &data, &size);

	if (r < 0)
		return reasons_add(reasons, "bad-sdk", "%s: %s", path, strerror(-r));
	text = (char *)data;
	for (char *line = strtok_r(text, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save))
		r = read_line(path, line, &l, reasons);
	if (r == 0 && !l.includes.n)
		r = reasons_add(reasons, "bad-sdk", "%s: no 'include'", path);
	if (r == 0)
		r = abi_index_sort(&sdk.abi, reasons);
	if (r == 0) {
		sdk.includes = strings_copy(&l.includes);
		sdk.flags = strings_copy(&l.flags);
		r = sdk.includes && sdk.flags ? 0 : -ENOMEM;
	}
	if (r == 0) {
		*ret_sdk = sdk;
		sdk = (struct sdk){0};
		return 0;
	}
	/* what strings_copy() shares is not freed twice */
	free(sdk.includes);
	free(sdk.flags);
	sdk.includes = sdk.flags = NULL;
	strings_done(&l.includes);
	strings_done(&l.flags);
	return r;
}

/* ---- the build ---- */

struct build {
	const struct build_input *in;
	struct reasons *reasons;
	char *temp;
	struct strings sources, objects, archives; /* sources: .c files */
	struct strings flags, own_includes;
	size_t n_foreign; /* objects[] starts with those that were handed in */
	struct safety safety;
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_source(const struct dirent *e)
{
	return e->d_name[0] != '.' && ends_with(e->d_name, ".c") &&
	       !ends_with(e->d_name, "-test.c");
}

static int add_folder(struct build *b, const char *dir)
{
	struct dirent **names;
	char *include = NULL;
	struct stat st;
	int n = scandir(dir, &names, is_source, by_name), r = 0;

	if (n < 0)
		return reasons_add(b->reasons, "no-source", "%s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *path;

		if (asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0)
			path = NULL;
		if (r == 0)
			r = strings_take(&b->sources, path);
		else
			free(path);
		free(names[i]);
	}
	free(names);
	if (r == 0 && asprintf(&include, "%s/include", dir) < 0)
		return -ENOMEM;
	if (r == 0 && stat(include, &st) == 0 && S_ISDIR(st.st_mode))
		return strings_take(&b->own_includes, include);
	free(include);
	if (r == 0 && n == 0)
		r = reasons_add(b->reasons, "no-source",
				"%s: neither a C file nor include/ in this folder", dir);
	return r;
}

static int add_source(struct build *b, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return reasons_add(b->reasons, "no-source", "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return add_folder(b, path);
	if (ends_with(path, ".c"))
		return strings_take(&b->sources, strdup(path));
	if (ends_with(path, ".o"))
		return strings_take(&b->objects, strdup(path));
	if (ends_with(path, ".a"))
		return strings_take(&b->archives, strdup(path));
	return reasons_add(b->reasons, "no-source", "%s: neither .c, .o, .a nor a folder", path);
}

/* The compiler's own headers (stddef.h, ...), the only ones of the host. */
static int add_compiler_include(struct build *b)
{
	__attribute__((cleanup(buf_done))) struct buf said = {0};
	char option[] = "-print-file-name=include", *flag;
	char *const argv[] = {(char *)(uintptr_t)b->in->cc, option, NULL};
	int r = child_run(argv, &said);

	if (r != 0)
		return reasons_add(b->reasons, "no-compiler", "%s: %s", b->in->cc,
				   r < 0 ? strerror(-r) : buf_str(&said));
	if (asprintf(&flag, "-idirafter%.*s", (int)strcspn(buf_str(&said), "\n"), buf_str(&said)) <
	    0)
		flag = NULL;
	return strings_take(&b->flags, flag);
}

static int collect(struct build *b)
{
	int r = 0;

	for (const char *const *s = b->in->sources; *s && r == 0; s++)
		r = add_source(b, *s);
	for (char **f = b->in->sdk->flags; *f && r == 0; f++)
		r = strings_take(&b->flags, strdup(*f));
	if (r == 0 && b->archives.n)
		r = strings_take(&b->flags, strdup("-ffunction-sections"));
	if (r == 0 && b->archives.n)
		r = strings_take(&b->flags, strdup("-fdata-sections"));
	b->n_foreign = b->objects.n;
	if (r == 0)
		r = add_compiler_include(b);
	if (r == 0 && !b->sources.n && !b->objects.n)
		r = reasons_add(b->reasons, "no-source",
				"%s: no C file beside tests (*-test.c): nothing to compile",
				b->in->sources[0]);
	return r;
}

/* Include paths, own ones first, as abi_compiler wants them. */
static const char **include_list(const struct build *b)
{
	const char **list;
	size_t n = 0, k = 0;

	while (b->in->sdk->includes[n])
		n++;
	list = calloc(n + b->own_includes.n + 1, sizeof(*list));
	if (!list)
		return NULL;
	for (size_t i = 0; i < b->own_includes.n; i++)
		list[k++] = b->own_includes.item[i];
	for (size_t i = 0; i < n; i++)
		list[k++] = b->in->sdk->includes[i];
	return list;
}

/* What every source is compiled with, behind the @n words that @argv has. Result: the new n. */
static size_t add_flags(const struct build *b, const char *const *includes, const char **argv,
			size_t n)
{
	for (size_t i = 0; i < b->flags.n; i++)
		argv[n++] = b->flags.item[i];
	for (size_t i = 0; includes[i] && i < LIST_MAX; i++) {
		argv[n++] = "-I";
		argv[n++] = includes[i];
	}
	if (b->in->define) {
		argv[n++] = "-D";
		argv[n++] = b->in->define;
	}
	return n;
}

static int compile_one(struct build *b, const char *const *includes, const char *source, size_t at)
{
	__attribute__((cleanup(buf_done))) struct buf said = {0};
	const char *argv[4 * LIST_MAX];
	char *object;
	size_t n = 0;
	int r;

	if (asprintf(&object, "%s/%zu.o", b->temp, at) < 0)
		return -ENOMEM;
	r = strings_take(&b->objects, object);
	if (r < 0)
		return r;
	argv[n++] = b->in->cc;
	n = add_flags(b, includes, argv, n);
	argv[n++] = "-c";
	argv[n++] = "-o";
	argv[n++] = object;
	argv[n++] = source;
	argv[n] = NULL;
	r = child_run((char *const *)(uintptr_t)argv, &said);
	if (r < 0)
		return reasons_add(b->reasons, "no-compiler", "%s: %s", b->in->cc, strerror(-r));
	if (r > 0)
		return reasons_add(b->reasons, "compile-failed", "%s", buf_str(&said));
	buf_puts(b->in->warnings, buf_str(&said));
	return 0;
}

static int compile_all(struct build *b, const char *const *includes)
{
	int all = 0;

	for (size_t i = 0; i < b->sources.n; i++) {
		int r = compile_one(b, includes, b->sources.item[i], i);

		if (r < 0 && r != -EPERM)
			return r;
		all = r < 0 ? r : all;
	}
	return all;
}

static int read_report(struct build *b, const char *path)
{
	OWNED_STR text = NULL;
	uint8_t *data;
	size_t size;
	int r = file_read(path, REPORT_BYTES_MAX, &data, &size);

	if (r < 0)
		return reasons_add(b->reasons, "no-checker", "%s wrote no report: %s",
				   b->in->checker, strerror(-r));
	text = (char *)data;
	return safety_read(b->in->checker, text, &b->safety, b->reasons);
}

/* What theseus-cellcheck says of the sources, compiled as they just were. */
static int check_all(struct build *b, const char *const *includes)
{
	__attribute__((cleanup(buf_done))) struct buf said = {0};
	const char *argv[10 * LIST_MAX] = {b->in->checker, "-o"};
	OWNED_STR report = NULL;
	size_t n = 3;
	int r;

	if (asprintf(&report, "%s/report", b->temp) < 0) {
		report = NULL;
		return -ENOMEM;
	}
	argv[2] = report;
	for (size_t i = 0; i < b->n_foreign + b->archives.n; i++) {
		argv[n++] = "-l";
		argv[n++] =
			i < b->n_foreign ? b->objects.item[i] : b->archives.item[i - b->n_foreign];
	}
	for (size_t i = 0; i < b->own_includes.n; i++) {
		argv[n++] = "-w";
		argv[n++] = b->own_includes.item[i];
	}
	for (size_t i = 0; i < b->sources.n; i++)
		argv[n++] = b->sources.item[i];
	argv[n++] = "--";
	n = add_flags(b, includes, argv, n);
	argv[n] = NULL;
	r = child_run((char *const *)(uintptr_t)argv, &said);
	if (r < 0)
		return reasons_add(b->reasons, "no-checker", "%s: %s", b->in->checker,
				   strerror(-r));
	return read_report(b, report);
}

/* Types of the cell's own headers come before those of the SDK: it may be a new edition. */
static int pack_built(struct build *b, const char *const *includes, struct packed *ret_packed)
{
	const struct abi_compiler compiler = {b->in->cc, (const char *const *)b->flags.item,
					      includes};
	__attribute__((cleanup(abi_index_done))) struct abi_index own = {0};
	const struct abi_index *abi[] = {&own, &b->in->sdk->abi, NULL};
	struct pack_input in = {NULL, (const char *const *)b->objects.item,
				(const char *const *)b->archives.item, abi, &b->safety};
	int r = 0;

	if (b->own_includes.n)
		r = abi_index_scan(&compiler, (const char *const *)b->own_includes.item, &own, NULL,
				   b->reasons);
	if (r == 0)
		r = abi_index_sort(&own, b->reasons);
	return r == 0 ? pack_cell(&in, ret_packed, b->reasons) : r;
}

int build_cell(const struct build_input *in, struct packed *ret_packed, struct reasons *reasons)
{
	struct build b = {.in = in, .reasons = reasons, .temp = temp_dir()};
	const char **includes = NULL;
	int r;

	if (!b.temp)
		return reasons_add(reasons, "no-temporary",
				   "no folder for temporary files: %s ($TMPDIR says where)",
				   strerror(errno));
	r = collect(&b);
	if (r == 0) {
		includes = include_list(&b);
		r = includes ? compile_all(&b, includes) : -ENOMEM;
	}
	if (r == 0)
		r = check_all(&b, includes);
	if (r == 0)
		r = pack_built(&b, includes, ret_packed);
	free(includes);
	strings_done(&b.sources);
	strings_done(&b.objects);
	strings_done(&b.archives);
	strings_done(&b.flags);
	strings_done(&b.own_includes);
	temp_dir_remove(b.temp);
	return r;
}
