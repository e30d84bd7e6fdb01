/* SPDX-License-Identifier: MIT */
/* The walk over clang's syntax tree: each cursor is offered to the rules of match.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "match.h"
#include "rules.h"

#define FLAGS_MAX 1024u

/* Flags that only GCC knows, or that change nothing that is looked at. */
static bool is_dropped(const char *flag)
{
	return strncmp(flag, "-g", 2) == 0 || strncmp(flag, "-W", 2) == 0 ||
	       strncmp(flag, "-fsanitize", 10) == 0 || strcmp(flag, "-fnon-call-exceptions") == 0 ||
	       strcmp(flag, "-fno-tree-loop-distribute-patterns") == 0;
}

static char *file_path(CXFile file)
{
	CXString name = clang_File_tryGetRealPathName(file);
	const char *s = clang_getCString(name);
	char *path = s && *s ? realpath(s, NULL) : NULL;

	clang_disposeString(name);
	return path;
}

/* Index of the own file that @file is, or -ENOENT; the last answer is kept. */
static int64_t find_file(struct scan *s, CXFile file)
{
	char *path;

	if (!file)
		return -ENOENT;
	if (s->last_file && clang_File_isEqual(s->last_file, file))
		return s->last_index;
	path = file_path(file);
	s->last_file = file;
	s->last_index = path ? own_files_find(s->own, path) : -ENOENT;
	free(path);
	return s->last_index;
}

static struct place place_at(struct scan *s, CXSourceLocation at)
{
	struct place p = {.file = -ENOENT};
	CXFile file;

	clang_getFileLocation(at, &file, &p.line, &p.column, &p.offset);
	p.file = find_file(s, file);
	return p;
}

/* ---- macros ---- */

static int add_macro(struct scan *s, const struct macro *m)
{
	if (s->n_macros == s->macros_cap) {
		size_t cap = s->macros_cap ? 2 * s->macros_cap : 256;
		struct macro *macros = realloc(s->macros, cap * sizeof(*macros));

		if (!macros)
			return -ENOMEM;
		s->macros = macros;
		s->macros_cap = cap;
	}
	s->macros[s->n_macros++] = *m;
	return 0;
}

static bool named_in_text(const struct scan *s, const struct place *p, CXCursor macro)
{
	CXString name = clang_getCursorSpelling(macro);
	const struct own_file *f = &s->own->files[p->file];
	size_t n = strlen(clang_getCString(name));
	bool same = p->offset <= f->size && f->size - p->offset >= n &&
		    memcmp(f->text + p->offset, clang_getCString(name), n) == 0;

	clang_disposeString(name);
	return same;
}

/* An expansion in an own file: of those that start at one place, the one written there. */
static int note_expansion(struct scan *s, CXCursor c)
{
	struct macro m = {.use = place_at(s, clang_getCursorLocation(c)), .def = {.file = -ENOENT}};
	CXCursor def = clang_getCursorReferenced(c);

	if (m.use.file < 0 || !named_in_text(s, &m.use, c))
		return m.use.file < 0 && m.use.file != -ENOENT ? (int)m.use.file : 0;
	if (!clang_Cursor_isNull(def)) {
		CXSourceRange extent = clang_getCursorExtent(def);

		m.def = place_at(s, clang_getRangeStart(extent));
		m.def_last = place_at(s, clang_getRangeEnd(extent)).line;
	}
	return add_macro(s, &m);
}

static int by_use(const void *a, const void *b)
{
	const struct place *x = &((const struct macro *)a)->use,
			   *y = &((const struct macro *)b)->use;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static enum CXChildVisitResult visit_macros(CXCursor c, CXCursor parent, CXClientData data)
{
	struct scan *s = data;
	int r = 0;

	(void)parent;
	if (clang_getCursorKind(c) == CXCursor_MacroExpansion)
		r = note_expansion(s, c);
	else if (clang_getCursorKind(c) == CXCursor_MacroDefinition)
		r = match_macro_body(s, c);
	s->error = r < 0 ? r : s->error;
	return s->error ? CXChildVisit_Break : CXChildVisit_Continue;
}

/* ---- the walk ---- */

struct place scan_place(struct scan *s, CXSourceLocation at)
{
	return place_at(s, at);
}

int scan_op(struct scan *s, CXCursor c, enum unsafe_kind kind, bool at_use)
{
	CXSourceRange extent = clang_getCursorExtent(c);
	struct macro key = {.use = place_at(s, clang_getCursorLocation(c))}, *m = NULL;
	struct place last;

	if (key.use.file < 0)
		return 0;
	if (s->n_macros)
		m = bsearch(&key, s->macros, s->n_macros, sizeof(*m), by_use);
	if (m && !at_use)
		return m->def.file < 0 ? 0
				       : own_files_op(s->own, (size_t)m->def.file, kind,
						      m->def.line, m->def_last, m->def.column);
	last = place_at(s, clang_getRangeEnd(extent));
	/* only a statement in assembly is unsafe from its first to its last line */
	if (kind != UNSAFE_ASM || last.file != key.use.file || last.line < key.use.line)
		last.line = key.use.line;
	return own_files_op(s->own, (size_t)key.use.file, kind, key.use.line, last.line,
			    key.use.column);
}

static enum CXChildVisitResult visit(CXCursor c, CXCursor parent, CXClientData data)
{
	struct scan *s = data;
	int r;

	if (clang_isPreprocessing(clang_getCursorKind(c)))
		return CXChildVisit_Continue;
	r = match_cursor(s, c, parent);
	if (r < 0) {
		s->error = r;
		return CXChildVisit_Break;
	}
	/* a declaration in a file that is not own holds nothing that is */
	if (clang_getCursorKind(parent) == CXCursor_TranslationUnit &&
	    place_at(s, clang_getCursorLocation(c)).file < 0)
		return CXChildVisit_Continue;
	return CXChildVisit_Recurse;
}

static void note_include(CXFile file, CXSourceLocation *stack, unsigned int n, CXClientData data)
{
	struct scan *s = data;
	char *path = file_path(file);
	int64_t r =
		path ? find_file(s, file) : 0; /* an own header counts also when empty of code */

	(void)stack;
	(void)n;
	if (r < 0 && r != -ENOENT)
		s->error = (int)r;
	if (path)
		buf_printf(s->depends, "%s\n", path);
	free(path);
}

/* Every error that clang has with the source is a reason. */
static int broken(CXTranslationUnit unit, struct reasons *reasons)
{
	unsigned int n = clang_getNumDiagnostics(unit);
	int r = 0;

	for (unsigned int i = 0; i < n; i++) {
		CXDiagnostic d = clang_getDiagnostic(unit, i);
		CXString text = clang_formatDiagnostic(d, CXDiagnostic_DisplaySourceLocation);

		if (clang_getDiagnosticSeverity(d) >= CXDiagnostic_Error)
			r = reasons_add(reasons, "unchecked", "%s", clang_getCString(text));
		clang_disposeString(text);
		clang_disposeDiagnostic(d);
	}
	return r;
}

static int scan_unit(struct scan *s, CXTranslationUnit unit, struct reasons *reasons)
{
	CXCursor top = clang_getTranslationUnitCursor(unit);
	int r = broken(unit, reasons);

	if (r < 0)
		return r;
	s->unit = unit;
	clang_getInclusions(unit, note_include, s);
	if (!s->error)
		clang_visitChildren(top, visit_macros, s);
	if (s->n_macros)
		qsort(s->macros, s->n_macros, sizeof(*s->macros), by_use);
	if (!s->error)
		clang_visitChildren(top, visit, s);
	return s->error;
}

static int scan_c(CXIndex index, const char *source, const char *const *flags, int n_flags,
		  struct own_files *own, struct buf *depends, struct reasons *reasons)
{
	struct scan s = {.own = own, .depends = depends};
	CXTranslationUnit unit = NULL;
	int r;

	if (clang_parseTranslationUnit2(index, source, flags, n_flags, NULL, 0,
					CXTranslationUnit_DetailedPreprocessingRecord |
						CXTranslationUnit_KeepGoing,
					&unit) != CXError_Success)
		r = reasons_add(reasons, "unchecked", "%s: clang cannot read it", source);
	else
		r = scan_unit(&s, unit, reasons);
	if (unit)
		clang_disposeTranslationUnit(unit);
	free(s.macros);
	return r;
}

/* Assembly: every line of code is one operation. */
static int scan_asm(const char *source, struct own_files *own, struct buf *depends)
{
	char *path = realpath(source, NULL);
	int64_t at = path ? own_files_find(own, path) : -errno;
	int r = at < 0 ? (int)at : 0;

	if (path)
		buf_printf(depends, "%s\n", path);
	free(path);
	for (size_t i = 0; r == 0 && i < own->files[at].n_lines; i++)
		if (own->files[at].code[i])
			r = own_files_op(own, (size_t)at, UNSAFE_ASM, (unsigned int)i + 1,
					 (unsigned int)i + 1, 1);
	return r;
}

static bool is_asm(const char *source)
{
	size_t n = strlen(source);

	return n > 2 && (strcmp(source + n - 2, ".S") == 0 || strcmp(source + n - 2, ".s") == 0);
}

static int scan_source(CXIndex index, const struct check_source *from, struct own_files *own,
		       struct buf *depends, struct reasons *reasons)
{
	const char *flags[FLAGS_MAX] = {"-xc"};
	int n = 1;

	if (is_asm(from->path))
		return scan_asm(from->path, own, depends);
	for (const char *const *f = from->flags; *f && n < (int)FLAGS_MAX; f++)
		if (!is_dropped(*f))
			flags[n++] = *f;
	return scan_c(index, from->path, flags, n, own, depends, reasons);
}

static int scan_all(const struct check_input *in, struct own_files *own, struct buf *depends,
		    struct reasons *reasons)
{
	CXIndex index = clang_createIndex(0, 0);
	int all = 0;

	for (size_t i = 0; i < in->n_sources; i++) {
		int r = scan_source(index, &in->sources[i], own, depends, reasons);

		if (r < 0 && r != -EPERM) {
			all = reasons_add(reasons, "unchecked", "%s: %s", in->sources[i].path,
					  strerror(-r));
			break;
		}
		all = r < 0 ? r : all;
	}
	clang_disposeIndex(index);
	return all;
}

int check_sources(const struct check_input *in, struct safety *ret_safety, struct buf *depends,
		  struct reasons *reasons)
{
	__attribute__((cleanup(own_files_done))) struct own_files own = {.root = in->root};
	struct safety s = {0};
	int r = 0;

	for (size_t i = 0; i < in->n_sources; i++) {
		r = own_files_add_dir(&own, in->sources[i].path);
		if (r < 0)
			return reasons_add(reasons, "unchecked", "%s: %s", in->sources[i].path,
					   strerror(-r));
	}
	for (const char *const *d = in->dirs; *d; d++) {
		r = own_files_add_dir(&own, *d);
		if (r < 0)
			return reasons_add(reasons, "unchecked", "%s: %s", *d, strerror(-r));
	}
	r = scan_all(in, &own, depends, reasons);
	if (r < 0)
		return r;
	own_files_sum(&own, &s);
	for (const char *const *f = in->foreign; *f; f++)
		safety_add(&s, UNSAFE_FOREIGN, *f);
	*ret_safety = s;
	return buf_ok(depends) ? 0 : -ENOMEM;
}
