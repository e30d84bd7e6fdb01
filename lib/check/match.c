/* SPDX-License-Identifier: MIT */
/* The rules of rules.h, each a question about one cursor. */
#include "match.h"

#include <string.h>

#define MARK "theseus.unsafe:" /* CELL_UNSAFE_CALL() */

/* ---- types ---- */

static CXType canonical(CXCursor c)
{
	return clang_getCanonicalType(clang_getCursorType(c));
}

static bool is_integer(CXType t)
{
	return (t.kind >= CXType_Bool && t.kind <= CXType_Int128) || t.kind == CXType_Enum;
}

static bool is_pointer(CXType t)
{
	return t.kind == CXType_Pointer;
}

static bool is_function(CXType t)
{
	return t.kind == CXType_FunctionProto || t.kind == CXType_FunctionNoProto;
}

static CXType pointee(CXType t)
{
	return clang_getCanonicalType(clang_getPointeeType(t));
}

struct child {
	CXCursor cursor;
	enum CXChildVisitResult then;
};

static enum CXChildVisitResult take_child(CXCursor c, CXCursor parent, CXClientData data)
{
	struct child *child = data;

	(void)parent;
	child->cursor = c;
	return child->then;
}

/* A child, or the null cursor: with CXChildVisit_Break the first, with _Continue the last. */
static CXCursor child_of(CXCursor c, enum CXChildVisitResult then)
{
	struct child child = {clang_getNullCursor(), then};

	clang_visitChildren(c, take_child, &child);
	return child.cursor;
}

/* Of a cast its operand, before which the names of types may stand. */
static CXCursor last_child(CXCursor c)
{
	return child_of(c, CXChildVisit_Continue);
}

/* Below parentheses, and the conversions that the language makes. */
static CXCursor operand_of(CXCursor c)
{
	while (clang_getCursorKind(c) == CXCursor_ParenExpr ||
	       clang_getCursorKind(c) == CXCursor_UnexposedExpr) {
		CXCursor child = last_child(c);

		if (clang_Cursor_isNull(child))
			break;
		c = child;
	}
	return c;
}

/* ---- tokens ---- */

static bool is_word(const char *s, const char *const *words)
{
	while (*words && strcmp(s, *words) != 0)
		words++;
	return *words != NULL;
}

static const char *const asm_words[] = {"asm", "__asm__", "__asm", NULL};

/* Whether the first token in the extent of @c is one of @words. */
static bool starts_with(struct scan *s, CXCursor c, const char *const *words)
{
	CXToken *token = clang_getToken(s->unit, clang_getRangeStart(clang_getCursorExtent(c)));
	bool found = false;

	if (token) {
		CXString text = clang_getTokenSpelling(s->unit, *token);

		found = is_word(clang_getCString(text), words);
		clang_disposeString(text);
		clang_disposeTokens(s->unit, token, 1);
	}
	return found;
}

/* ---- rules ---- */

static int match_cast(struct scan *s, CXCursor c)
{
	CXCursor operand = last_child(c);
	CXType to = canonical(c), from = canonical(operand), to_p, from_p;
	CXEvalResult value;
	bool zero;

	/* of the conversions in the operand only those that the cast does not ask for */
	if (!is_pointer(to))
		return 0;
	if (is_integer(from)) {
		value = clang_Cursor_Evaluate(operand_of(operand));
		zero = value && clang_EvalResult_getKind(value) == CXEval_Int &&
		       clang_EvalResult_getAsLongLong(value) == 0;
		if (value)
			clang_EvalResult_dispose(value);
		return zero ? 0 : scan_op(s, c, UNSAFE_INT_TO_POINTER, false);
	}
	from = canonical(operand_of(operand));
	if (is_function(from))
		from_p = from;
	else if (is_pointer(from))
		from_p = pointee(from);
	else
		return 0;
	to_p = pointee(to);
	if ((is_function(to_p) || is_function(from_p)) && !clang_equalTypes(to_p, from_p))
		return scan_op(s, c, UNSAFE_FUNCTION_CAST, false);
	if (clang_isConstQualifiedType(from_p) && !clang_isConstQualifiedType(to_p))
		return scan_op(s, c, UNSAFE_CONST_CAST, false);
	return 0;
}

struct mark {
	bool found;
	enum unsafe_kind kind;
};

static enum CXChildVisitResult find_mark(CXCursor c, CXCursor parent, CXClientData data)
{
	struct mark *m = data;

	(void)parent;
	if (clang_getCursorKind(c) == CXCursor_AnnotateAttr) {
		CXString text = clang_getCursorSpelling(c);
		const char *t = clang_getCString(text);

		if (strncmp(t, MARK, strlen(MARK)) == 0) {
			t += strlen(MARK);
			m->kind = unsafe_kind_of(t, strlen(t));
			/* a mark with a word that means nothing is not to hide a call */
			if (m->kind == _UNSAFE_KIND_INVALID)
				m->kind = UNSAFE_MACHINE;
			m->found = true;
		}
		clang_disposeString(text);
	}
	return CXChildVisit_Continue;
}

static bool is_copy(CXCursor callee)
{
	static const char *const words[] = {"memcpy", "memmove", "__builtin_memcpy",
					    "__builtin_memmove", NULL};
	CXString name = clang_getCursorSpelling(callee);
	bool found = is_word(clang_getCString(name), words);

	clang_disposeString(name);
	return found;
}

/* Whether the expression, its conversions to void * aside, points to a pointer. */
static bool points_to_pointer(CXCursor c)
{
	CXType t;

	for (c = operand_of(c); clang_getCursorKind(c) == CXCursor_CStyleCastExpr;)
		c = operand_of(last_child(c));
	t = canonical(c);
	return is_pointer(t) && is_pointer(pointee(t));
}

static int match_call(struct scan *s, CXCursor c)
{
	CXCursor callee = clang_getCursorReferenced(c);

	if (!clang_Cursor_isNull(callee) && is_copy(callee) &&
	    clang_Cursor_getNumArguments(c) == 3 &&
	    points_to_pointer(clang_Cursor_getArgument(c, 0)) &&
	    !points_to_pointer(clang_Cursor_getArgument(c, 1)))
		return scan_op(s, c, UNSAFE_PUN, false);
	return 0;
}

/* Naming a marked function counts: who takes its address may call it later, unseen. */
static int match_reference(struct scan *s, CXCursor c)
{
	CXCursor to = clang_getCursorReferenced(c);
	struct mark mark = {0};

	if (clang_getCursorKind(to) != CXCursor_FunctionDecl)
		return 0;
	clang_visitChildren(to, find_mark, &mark);
	return mark.found ? scan_op(s, c, mark.kind, true) : 0;
}

static enum CXVisitorResult note_plain_member(CXCursor field, CXClientData data)
{
	CXType t = canonical(field);

	while (t.kind == CXType_ConstantArray)
		t = clang_getCanonicalType(clang_getArrayElementType(t));
	if (is_integer(t) || t.kind == CXType_Record || t.kind == CXType_Float ||
	    t.kind == CXType_Double)
		*(bool *)data = true;
	return CXVisit_Continue;
}

static bool is_volatile(CXType t)
{
	return clang_isVolatileQualifiedType(t);
}

static int match_member(struct scan *s, CXCursor c)
{
	CXCursor owner = clang_getCursorSemanticParent(clang_getCursorReferenced(c));
	bool plain = false;

	if (is_volatile(canonical(c)) || is_volatile(clang_getCursorType(c)))
		return scan_op(s, c, UNSAFE_DEVICE, false);
	if (clang_getCursorKind(owner) != CXCursor_UnionDecl || !is_pointer(canonical(c)))
		return 0;
	clang_Type_visitFields(clang_getCursorType(owner), note_plain_member, &plain);
	return plain ? scan_op(s, c, UNSAFE_PUN, false) : 0;
}

/* *p, for p a pointer to volatile: the only unary operator whose result is what p points to. */
static int match_dereference(struct scan *s, CXCursor c)
{
	CXType from = canonical(last_child(c));

	if (!is_pointer(from) || !is_volatile(pointee(from)) ||
	    !clang_equalTypes(pointee(from), canonical(c)))
		return 0;
	return scan_op(s, c, UNSAFE_DEVICE, false);
}

static int match_subscript(struct scan *s, CXCursor c)
{
	return is_volatile(canonical(c)) &&
			       is_pointer(canonical(operand_of(child_of(c, CXChildVisit_Break))))
		       ? scan_op(s, c, UNSAFE_DEVICE, false)
		       : 0;
}

static int match_attribute(struct scan *s, CXCursor c)
{
	static const char *const words[] = {"section",   "__section__", "alias",
					    "__alias__", "ifunc",       "__ifunc__",
					    "weakref",   "__weakref__", NULL};

	return starts_with(s, c, words) ? scan_op(s, c, UNSAFE_SYMBOL, false) : 0;
}

int match_cursor(struct scan *s, CXCursor c, CXCursor parent)
{
	switch (clang_getCursorKind(c)) {
	case CXCursor_GCCAsmStmt:
	case CXCursor_MSAsmStmt:
		return scan_op(s, c, UNSAFE_ASM, false);
	case CXCursor_UnexposedDecl:
		return clang_getCursorKind(parent) == CXCursor_TranslationUnit &&
				       starts_with(s, c, asm_words)
			       ? scan_op(s, c, UNSAFE_ASM, false)
			       : 0;
	case CXCursor_CStyleCastExpr:
		return match_cast(s, c);
	case CXCursor_CallExpr:
		return match_call(s, c);
	case CXCursor_DeclRefExpr:
		return match_reference(s, c);
	case CXCursor_MemberRefExpr:
		return match_member(s, c);
	case CXCursor_UnaryOperator:
		return match_dereference(s, c);
	case CXCursor_ArraySubscriptExpr:
		return match_subscript(s, c);
	case CXCursor_AsmLabelAttr:
		return scan_op(s, c, UNSAFE_SYMBOL, false);
	case CXCursor_UnexposedAttr:
		return match_attribute(s, c);
	default:
		return 0;
	}
}

/* ---- bodies of macros ---- */

struct body {
	CXToken *tokens;
	unsigned int n;
};

static bool token_is(struct scan *s, const struct body *b, unsigned int i, const char *const *words)
{
	CXString text = clang_getTokenSpelling(s->unit, b->tokens[i]);
	bool same = is_word(clang_getCString(text), words);

	clang_disposeString(text);
	return same;
}

/* "*)(uintptr_t": a number becomes a pointer, whatever the macro's argument is. */
static bool is_forging(struct scan *s, const struct body *b, unsigned int i)
{
	static const char *const star[] = {"*", NULL}, *const open[] = {"(", NULL},
				 *const close[] = {")", NULL}, *const type[] = {"uintptr_t", NULL};

	return i + 3 < b->n && token_is(s, b, i, star) && token_is(s, b, i + 1, close) &&
	       token_is(s, b, i + 2, open) && token_is(s, b, i + 3, type);
}

int match_macro_body(struct scan *s, CXCursor c)
{
	CXSourceRange extent = clang_getCursorExtent(c);
	struct place at = scan_place(s, clang_getRangeStart(extent));
	unsigned int last = scan_place(s, clang_getRangeEnd(extent)).line;
	struct body b = {0};
	int r = 0;

	if (at.file < 0)
		return 0;
	clang_tokenize(s->unit, extent, &b.tokens, &b.n);
	for (unsigned int i = 1; i < b.n && r == 0; i++) {
		if (token_is(s, &b, i, asm_words))
			r = own_files_op(s->own, (size_t)at.file, UNSAFE_ASM, at.line, last,
					 at.column);
		else if (is_forging(s, &b, i))
			r = own_files_op(s->own, (size_t)at.file, UNSAFE_INT_TO_POINTER, at.line,
					 last, at.column);
	}
	if (b.tokens)
		clang_disposeTokens(s->unit, b.tokens, b.n);
	return r;
}
