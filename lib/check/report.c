/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[_UNSAFE_KIND_MAX] = {
	[UNSAFE_ASM] = "asm",
	[UNSAFE_INT_TO_POINTER] = "int-to-pointer",
	[UNSAFE_PUN] = "pun",
	[UNSAFE_DEVICE] = "device",
	[UNSAFE_GATE] = "gate",
	[UNSAFE_MACHINE] = "machine",
	[UNSAFE_SYMBOL] = "symbol",
	[UNSAFE_CONST_CAST] = "const-cast",
	[UNSAFE_FUNCTION_CAST] = "function-cast",
	[UNSAFE_FOREIGN] = "foreign",
};

const char *unsafe_kind_name(enum unsafe_kind kind)
{
	return kind >= 0 && kind < _UNSAFE_KIND_MAX ? names[kind] : "unknown";
}

enum unsafe_kind unsafe_kind_of(const char *name, size_t len)
{
	for (int i = 0; i < _UNSAFE_KIND_MAX; i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return (enum unsafe_kind)i;
	return _UNSAFE_KIND_INVALID;
}

uint64_t safety_operations(const struct safety *s)
{
	uint64_t n = 0;

	for (int i = 0; i < _UNSAFE_KIND_MAX; i++)
		n += s->counts[i];
	return n;
}

static void add_place(struct safety *s, enum unsafe_kind kind, const char *where)
{
	size_t len = strlen(where), skip = len < SAFETY_PLACE_BYTES ? 0 : len - SAFETY_PLACE_BYTES;
	struct safety_place *p = &s->places[s->n_places];

	if (s->n_places == SAFETY_PLACES_MAX)
		return;
	p->kind = kind;
	(void)snprintf(p->where, sizeof(p->where), "%s", where + skip + (skip != 0));
	s->n_places++;
}

void safety_add(struct safety *s, enum unsafe_kind kind, const char *where)
{
	s->counts[kind]++;
	add_place(s, kind, where);
}

void safety_write(const struct safety *s, struct buf *out)
{
	buf_printf(out, "code %u\nunsafe %u\n", s->code_lines, s->unsafe_lines);
	for (int i = 0; i < _UNSAFE_KIND_MAX; i++)
		if (s->counts[i])
			buf_printf(out, "kind %s %u\n", names[i], s->counts[i]);
	for (size_t i = 0; i < s->n_places; i++)
		buf_printf(out, "place %s %s\n", names[s->places[i].kind], s->places[i].where);
}

static bool read_number(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* "NAME REST": the kind, and where REST starts. */
static enum unsafe_kind read_kind(const char *s, const char **ret_rest)
{
	size_t len = strcspn(s, " ");

	*ret_rest = s + len + (s[len] != 0);
	return unsafe_kind_of(s, len);
}

static bool read_line(const char *line, struct safety *s)
{
	enum unsafe_kind kind;
	const char *rest;

	if (strncmp(line, "code ", 5) == 0)
		return read_number(line + 5, &s->code_lines);
	if (strncmp(line, "unsafe ", 7) == 0)
		return read_number(line + 7, &s->unsafe_lines);
	if (strncmp(line, "kind ", 5) == 0) {
		kind = read_kind(line + 5, &rest);
		return kind != _UNSAFE_KIND_INVALID && read_number(rest, &s->counts[kind]);
	}
	if (strncmp(line, "place ", 6) == 0) {
		kind = read_kind(line + 6, &rest);
		if (kind == _UNSAFE_KIND_INVALID || s->n_places == SAFETY_PLACES_MAX || !*rest)
			return false;
		add_place(s, kind, rest);
		return true;
	}
	return false;
}

int safety_read(const char *name, const char *text, struct safety *ret_safety,
		struct reasons *reasons)
{
	struct safety s = {0};
	size_t n_broken = 0;
	char line[REASON_BYTES];

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (strncmp(line, "broken ", 7) == 0) {
			(void)reasons_add(reasons, "unchecked", "%s", line + 7);
			n_broken++;
		} else if (!read_line(line, &s)) {
			return reasons_add(reasons, "bad-report",
					   "%s: '%s' is nothing a safety "
					   "report has",
					   name, line);
		}
	}
	if (n_broken)
		return -EPERM;
	if (strncmp(text, "code ", 5) != 0)
		return reasons_add(reasons, "bad-report", "%s: not a safety report", name);
	*ret_safety = s;
	return 0;
}
