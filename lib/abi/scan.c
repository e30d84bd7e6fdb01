/* SPDX-License-Identifier: MIT */
/* Header by header: which functions it declares (gcc -aux-info), then their types (-gbtf). */
#include "index.h"

#include <errno.h>
#include <fts.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/file.h"
#include "types.h"

#define HEADER_BYTES_MAX (1u << 20)
#define ARGV_MAX 256u
#define JOBS_MAX 16u

#define OWNED_STR __attribute__((cleanup(str_free))) char *
#define OWNED_BUF __attribute__((cleanup(buf_done))) struct buf

struct header {
	char *path; /* as found */
	char *name; /* as it is included: the path below its root */
};

struct scan {
	const struct abi_compiler *compiler;
	const char *temp;
	struct header *headers;
	size_t n_headers, cap_headers;

	pthread_mutex_t lock;
	/* under the lock: */
	size_t next;
	struct abi_index *index;
	struct reasons *reasons;
	int result;
};

static int add_header(struct scan *s, const char *path, const char *name)
{
	struct header h;

	if (s->n_headers == s->cap_headers) {
		size_t cap = s->cap_headers ? s->cap_headers * 2 : 64;
		struct header *headers = reallocarray(s->headers, cap, sizeof(*headers));

		if (!headers)
			return -ENOMEM;
		s->headers = headers;
		s->cap_headers = cap;
	}
	h = (struct header){.path = realpath(path, NULL), .name = strdup(name)};
	if (!h.path || !h.name) {
		free(h.path);
		free(h.name);
		return -ENOMEM;
	}
	s->headers[s->n_headers++] = h;
	return 0;
}

static int compare_entries(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* All *.h below @dir. Folders go to @depends too: their time changes when a header is added. */
static int find_headers(struct scan *s, const char *dir, struct buf *depends)
{
	__attribute__((cleanup(str_free))) char *root = strdup(dir);
	char *const roots[] = {root, NULL};
	FTS *fts = root ? fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_entries) : NULL;
	FTSENT *e;
	int r = 0;

	if (!fts)
		return -ENOMEM;
	while (r == 0 && (e = fts_read(fts))) {
		size_t len = strlen(e->fts_name);

		if (e->fts_info == FTS_NS || e->fts_info == FTS_DNR || e->fts_info == FTS_ERR)
			r = reasons_add(s->reasons, "bad-header", "%s: %s", e->fts_path,
					strerror(e->fts_errno));
		if (e->fts_info == FTS_D && depends)
			buf_printf(depends, "%s\n", e->fts_path);
		if (e->fts_info != FTS_F || len < 3 || strcmp(e->fts_name + len - 2, ".h") != 0)
			continue;
		if (depends)
			buf_printf(depends, "%s\n", e->fts_path);
		r = add_header(s, e->fts_path, e->fts_path + strlen(dir) + 1);
	}
	(void)fts_close(fts);
	return r;
}

/* Runs the compiler on @source. Result: 0, -EPERM with @reasons, -errno. */
static int compile(const struct abi_compiler *c, const char *const *extra, const char *source,
		   const char *what, struct reasons *reasons)
{
	const char *argv[ARGV_MAX];
	OWNED_BUF output = {0};
	size_t n = 0;
	int r;

	argv[n++] = c->cc;
	for (const char *const *f = c->flags; *f && n < ARGV_MAX / 2; f++)
		argv[n++] = *f;
	argv[n++] = "-w";
	for (const char *const *d = c->include_dirs; *d && n < ARGV_MAX - 16; d++) {
		argv[n++] = "-I";
		argv[n++] = *d;
	}
	for (const char *const *x = extra; *x; x++)
		argv[n++] = *x;
	argv[n++] = source;
	argv[n] = NULL;
	r = child_run((char *const *)(uintptr_t)argv, &output);
	if (r < 0)
		return reasons_add(reasons, "no-compiler", "%s: %s", c->cc, strerror(-r));
	if (r > 0)
		return reasons_add(reasons, "bad-header", "%s does not compile by itself:\n%s",
				   what, buf_str(&output));
	return 0;
}

/* The identifier that ends at @end (exclusive) of @line; false when there is none. */
static bool identifier_before(const char *line, const char *end, char *ret_name, size_t max)
{
	const char *start;

	while (end > line && end[-1] == ' ')
		end--;
	start = end;
	while (start > line && (strchr("_", start[-1]) || (start[-1] >= '0' && start[-1] <= '9') ||
				((start[-1] | 32) >= 'a' && (start[-1] | 32) <= 'z')))
		start--;
	if (start == end || (size_t)(end - start) >= max)
		return false;
	memcpy(ret_name, start, (size_t)(end - start));
	ret_name[end - start] = 0;
	return true;
}

/*
 * One line of -aux-info: a comment with file, line and kind, then the prototype,
 * "extern int (*f (int)) (char);". Finds the function's name: it stands before the first
 * parenthesis that does not open a declarator.
 */
static bool function_name(const char *prototype, char *ret_name, size_t max)
{
	for (const char *p = strchr(prototype, '('); p; p = strchr(p + 1, '('))
		if (identifier_before(prototype, p, ret_name, max) && p[1] != '*')
			return true;
	return false;
}

/* "static const struct X *X_get (struct X_h": what IFACE_DEFINE(X) leaves. */
static bool interface_name(const char *prototype, char *ret_name, size_t max)
{
	static const char head[] = "static const struct ";
	OWNED_STR expect = NULL;
	size_t len;

	if (strncmp(prototype, head, sizeof(head) - 1) != 0)
		return false;
	prototype += sizeof(head) - 1;
	len = strcspn(prototype, " ");
	if (len >= max || asprintf(&expect, "%.*s *%.*s_get (struct %.*s_h", (int)len, prototype,
				   (int)len, prototype, (int)len, prototype) < 0)
		return false;
	if (strncmp(prototype, expect, strlen(expect)) != 0)
		return false;
	memcpy(ret_name, prototype, len);
	ret_name[len] = 0;
	return true;
}

struct found {
	enum abi_kind kind;
	char name[256];
};

/* Whether the line's comment, slash-star space PATH colon LINE, names this header. */
static bool from_header(const char *line, const struct header *h, const char **ret_prototype)
{
	const char *end = strstr(line, " */ "), *colon;
	char real[4096];
	OWNED_STR path = NULL;

	if (strncmp(line, "/* ", 3) != 0 || !end)
		return false;
	path = strndup(line + 3, (size_t)(end - line - 3));
	colon = path ? strrchr(path, ':') : NULL;
	if (!colon || colon == path)
		return false;
	path[colon - path] = 0;
	colon = strrchr(path, ':');
	if (!colon)
		return false;
	path[colon - path] = 0;
	*ret_prototype = end + 4;
	return strcmp(path, h->path) == 0 || (realpath(path, real) && strcmp(real, h->path) == 0);
}

/* What the header itself declares, once each. Result: count or -ENOMEM. */
static int list_declared(char *aux, const struct header *h, struct found **ret_found)
{
	struct found *all = NULL;
	size_t n = 0, cap = 0;
	char *save = NULL;

	for (char *line = strtok_r(aux, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *prototype;
		struct found f = {.kind = ABI_FUNCTION};
		bool seen = false;

		if (!from_header(line, h, &prototype))
			continue;
		if (interface_name(prototype, f.name, sizeof(f.name)))
			f.kind = ABI_INTERFACE;
		else if (strncmp(prototype, "extern ", 7) != 0 ||
			 !function_name(prototype, f.name, sizeof(f.name)))
			continue;
		for (size_t i = 0; i < n; i++)
			seen |= all[i].kind == f.kind && strcmp(all[i].name, f.name) == 0;
		if (seen)
			continue;
		if (n == cap) {
			struct found *more;

			cap = cap ? cap * 2 : 32;
			more = reallocarray(all, cap, sizeof(*all));
			if (!more) {
				free(all);
				return -ENOMEM;
			}
			all = more;
		}
		all[n++] = f;
	}
	*ret_found = all;
	return (int)n;
}

/* A type of the probe unit becomes an entry of @out. */
static int add_entry(const struct btf *btf, const struct found *f, const struct header *h,
		     struct abi_index *out, struct reasons *reasons)
{
	OWNED_BUF text = {0};
	char variable[300];
	struct abi_entry e = {.kind = f->kind};
	uint32_t type;
	int r;

	(void)snprintf(variable, sizeof(variable), "__abi_%d_%s", (int)f->kind, f->name);
	type = abi_variable_type(btf, variable, true);
	r = type ? abi_type_hash(btf, type, &e.hash) : -EINVAL;
	if (r == 0)
		r = f->kind == ABI_INTERFACE ? abi_type_text_full(btf, type, 2000, &text)
					     : abi_type_text(btf, type, &text);
	if (r < 0)
		return reasons_add(reasons, "bad-header", "%s: the type of %s cannot be read: %s",
				   h->name, f->name, strerror(-r));
	e.restartable = f->kind == ABI_FUNCTION && abi_type_restartable(btf, type);
	e.name = (char *)(uintptr_t)f->name;
	e.header = h->name;
	e.signature = (char *)(uintptr_t)buf_str(&text);
	return abi_index_add(out, &e);
}

static int read_types(const char *object, const struct found *found, int n, const struct header *h,
		      struct abi_index *out, struct reasons *reasons)
{
	struct btf *btf = btf__parse_elf(object, NULL);
	int r = 0;

	if (libbpf_get_error(btf))
		return reasons_add(reasons, "bad-header", "%s: the compiler wrote no BTF", h->name);
	for (int i = 0; i < n && r == 0; i++)
		r = add_entry(btf, &found[i], h, out, reasons);
	btf__free(btf);
	return r;
}

static int write_probe(const char *path, const struct header *h, const struct found *found, int n)
{
	OWNED_BUF b = {0};

	buf_printf(&b, "#include \"%s\"\n", h->path);
	for (int i = 0; i < n; i++)
		buf_printf(&b,
			   found[i].kind == ABI_INTERFACE ? "struct %s *__abi_%d_%s;\n"
							  : "__typeof__(&%s) __abi_%d_%s;\n",
			   found[i].name, (int)found[i].kind, found[i].name);
	return buf_ok(&b) ? file_write(path, b.data, b.len) : -ENOMEM;
}

/* One header into @out. */
static int scan_header(struct scan *s, size_t at, struct abi_index *out, struct reasons *reasons)
{
	const struct header *h = &s->headers[at];
	OWNED_STR unit = NULL;
	OWNED_STR aux = NULL;
	OWNED_STR object = NULL;
	struct found *found = NULL;
	uint8_t *text = NULL;
	size_t size;
	int r, n;

	if (asprintf(&unit, "%s/%zu.c", s->temp, at) < 0 ||
	    asprintf(&aux, "%s/%zu.aux", s->temp, at) < 0 ||
	    asprintf(&object, "%s/%zu.o", s->temp, at) < 0)
		return -ENOMEM;
	r = write_probe(unit, h, NULL, 0);
	if (r == 0)
		r = compile(s->compiler, (const char *[]){"-fsyntax-only", "-aux-info", aux, NULL},
			    unit, h->name, reasons);
	if (r == 0)
		r = file_read(aux, HEADER_BYTES_MAX, &text, &size);
	if (r < 0)
		return r;
	n = list_declared((char *)text, h, &found);
	free(text);
	if (n <= 0)
		return n;
	r = write_probe(unit, h, found, n);
	if (r == 0)
		r = compile(s->compiler, (const char *[]){"-gbtf", "-c", "-o", object, NULL}, unit,
			    h->name, reasons);
	if (r == 0)
		r = read_types(object, found, n, h, out, reasons);
	free(found);
	return r;
}

static void keep(struct scan *s, struct abi_index *part, struct reasons *why, int r)
{
	for (size_t i = 0; i < part->n && r == 0; i++)
		r = abi_index_add(s->index, &part->entries[i]);
	for (size_t i = 0; i < why->n; i++)
		(void)reasons_add(s->reasons, why->code, "%s", why->text[i]);
	if (r < 0 && s->result == 0)
		s->result = r;
}

static void *scan_worker(void *arg)
{
	struct scan *s = arg;

	for (;;) {
		struct abi_index part = {0};
		struct reasons why = {0};
		size_t at;
		int r;

		pthread_mutex_lock(&s->lock);
		at = s->next++;
		pthread_mutex_unlock(&s->lock);
		if (at >= s->n_headers)
			return NULL;
		r = scan_header(s, at, &part, &why);
		pthread_mutex_lock(&s->lock);
		keep(s, &part, &why, r);
		pthread_mutex_unlock(&s->lock);
		abi_index_done(&part);
		reasons_done(&why);
	}
}

static int libbpf_silent(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level, (void)fmt, (void)args;
	return 0;
}

/* The caller's thread works too, so not a single further thread is needed. */
static void scan_all(struct scan *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[JOBS_MAX];
	unsigned int n = 0, want = cpus > 1 ? (unsigned int)cpus - 1 : 0;

	(void)libbpf_set_print(libbpf_silent);
	while (n < want && n < JOBS_MAX && pthread_create(&threads[n], NULL, scan_worker, s) == 0)
		n++;
	(void)scan_worker(s);
	while (n)
		(void)pthread_join(threads[--n], NULL);
}

int abi_index_scan(const struct abi_compiler *compiler, const char *const *dirs,
		   struct abi_index *index, struct buf *depends, struct reasons *reasons)
{
	__attribute__((cleanup(temp_dir_drop))) char *temp = temp_dir();
	struct scan s = {
		.compiler = compiler,
		.temp = temp,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.index = index,
		.reasons = reasons,
	};
	int r = 0;

	if (!temp)
		return -errno;
	for (; *dirs && r == 0; dirs++)
		r = find_headers(&s, *dirs, depends);
	if (r == 0) {
		scan_all(&s);
		r = s.result;
	}
	for (size_t i = 0; i < s.n_headers; i++) {
		free(s.headers[i].path);
		free(s.headers[i].name);
	}
	free(s.headers);
	return r;
}
