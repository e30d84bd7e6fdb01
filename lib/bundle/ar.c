/* SPDX-License-Identifier: MIT */
#include "ar.h"

#include <ar.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

#define SHORT_NAME_MAX 15u /* a slash ends the name in a field of 16 */

struct names {
	const char *table; /* content of the member "//" */
	size_t size;
};

/* A decimal field, padded with spaces. */
static int parse_decimal(const char *field, size_t len, size_t *ret_value)
{
	size_t value = 0, i = 0;

	for (; i < len && field[i] >= '0' && field[i] <= '9'; i++)
		value = value * 10 + (size_t)(field[i] - '0'); /* at most 15 digits */
	if (i == 0)
		return -EINVAL;
	for (; i < len; i++)
		if (field[i] != ' ')
			return -EINVAL;
	*ret_value = value;
	return 0;
}

/* Copies what stands before the slash. */
static int copy_name(const char *from, size_t max, char *ret_name)
{
	const char *end = memchr(from, '/', max);
	size_t len = end ? (size_t)(end - from) : 0;

	if (len == 0 || len >= AR_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (from[i] <= ' ' || from[i] > '~')
			return -EINVAL;
	memcpy(ret_name, from, len);
	ret_name[len] = 0;
	return 0;
}

static int parse_name(const struct ar_hdr *h, const struct names *names, char *ret_name)
{
	size_t offset;

	if (h->ar_name[0] != '/')
		return copy_name(h->ar_name, sizeof(h->ar_name), ret_name);
	if (parse_decimal(h->ar_name + 1, sizeof(h->ar_name) - 1, &offset) < 0 ||
	    offset >= names->size)
		return -EINVAL;
	return copy_name(names->table + offset, names->size - offset, ret_name);
}

static int add_member(struct ar_member **members, size_t *n, const struct ar_member *m,
		      struct reasons *reasons)
{
	struct ar_member *more;

	for (size_t i = 0; i < *n; i++)
		if (strcmp((*members)[i].name, m->name) == 0)
			return reasons_add(reasons, "duplicate-member", "member '%s' comes twice",
					   m->name);
	if (*n == AR_MEMBERS_MAX)
		return reasons_add(reasons, "bad-archive", "more than %u members", AR_MEMBERS_MAX);
	more = reallocarray(*members, *n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*members = more;
	more[(*n)++] = *m;
	return 0;
}

/* One header and its content. */
static int parse_member(struct cursor *c, struct names *names, struct ar_member **members,
			size_t *n, struct reasons *reasons)
{
	size_t start = c->at, size;
	const uint8_t *raw = cursor_take(c, sizeof(struct ar_hdr));
	struct ar_member m = {0};
	struct ar_hdr h;

	if (!raw)
		return reasons_add(reasons, "cut-short",
				   "cut short: %zu bytes of a member's header at byte %zu",
				   c->len - start, start);
	memcpy(&h, raw, sizeof(h));
	if (memcmp(h.ar_fmag, ARFMAG, 2) != 0 ||
	    parse_decimal(h.ar_size, sizeof(h.ar_size), &size) < 0)
		return reasons_add(reasons, "bad-archive", "no member header at byte %zu", start);
	m.data = cursor_take(c, size);
	m.size = size;
	if (!m.data)
		return reasons_add(
			reasons, "cut-short",
			"cut short: the member at byte %zu has %zu bytes, the file %zu more", start,
			size, c->len - c->at);
	if (size % 2 && c->at < c->len)
		(void)cursor_take(c,
				  1); /* members start at even offsets; the last needs no filler */
	if (memcmp(h.ar_name, "// ", 3) == 0) {
		*names = (struct names){(const char *)m.data, size};
		return 0;
	}
	if (memcmp(h.ar_name, "/ ", 2) == 0 || memcmp(h.ar_name, "/SYM64/", 7) == 0)
		return 0;
	if (parse_name(&h, names, m.name) < 0)
		return reasons_add(reasons, "bad-archive",
				   "the member at byte %zu has no proper name", start);
	return add_member(members, n, &m, reasons);
}

int ar_parse(const uint8_t *data, size_t size, struct ar_member **ret_members, size_t *ret_n,
	     struct reasons *reasons)
{
	struct cursor c = cursor_at(data, size, 0, size);
	const uint8_t *magic = cursor_take(&c, SARMAG);
	struct ar_member *members = NULL;
	struct names names = {0};
	size_t n = 0;
	int r = 0;

	if (!magic || memcmp(magic, ARMAG, SARMAG) != 0)
		return reasons_add(reasons, "not-an-archive",
				   "not an archive (no \"!<arch>\" at its start)");
	while (r == 0 && c.at < c.len)
		r = parse_member(&c, &names, &members, &n, reasons);
	if (r < 0) {
		free(members);
		return r;
	}
	*ret_members = members;
	*ret_n = n;
	return 0;
}

static void write_member(struct buf *out, const char *name, const void *data, size_t size)
{
	buf_printf(out, "%-16s%-12s%-6s%-6s%-8s%-10zu%s", name, "0", "0", "0", "644", size, ARFMAG);
	buf_put(out, data, size);
	if (out->len % 2)
		buf_puts(out, "\n");
}

void ar_write(const struct ar_member *members, size_t n, struct buf *out)
{
	__attribute__((cleanup(buf_done))) struct buf table = {0};
	size_t offset = 0;

	for (size_t i = 0; i < n; i++)
		if (strlen(members[i].name) > SHORT_NAME_MAX)
			buf_printf(&table, "%s/\n", members[i].name);
	buf_put(out, ARMAG, SARMAG);
	if (table.len)
		write_member(out, "//", table.data, table.len);
	for (size_t i = 0; i < n; i++) {
		char field[AR_NAME_MAX + 1];
		size_t len = strlen(members[i].name);

		if (len > SHORT_NAME_MAX) {
			(void)snprintf(field, sizeof(field), "/%zu", offset);
			offset += len + 2;
		} else {
			(void)snprintf(field, sizeof(field), "%s/", members[i].name);
		}
		write_member(out, field, members[i].data, members[i].size);
	}
	out->failed |= table.failed;
}
