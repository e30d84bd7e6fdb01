/* SPDX-License-Identifier: MIT */
#include "archive.h"

#include <theseus/errno.h>

#define MAGIC "!<arch>\n"
#define MAGIC_SIZE 8u

/* All fields are text, padded with blanks. */
struct ar_header {
	char name[16], date[12], uid[6], gid[6], mode[8], size[10], end[2];
};
_Static_assert(sizeof(struct ar_header) == 60, "file format");

static bool decimal(const char *text, size_t max, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; n < max && text[n] >= '0' && text[n] <= '9'; n++)
		v = v * 10 + (uint64_t)(text[n] - '0');
	if (n == 0 || n > 10)
		return false;
	for (size_t i = n; i < max; i++) {
		if (text[i] != ' ')
			return false;
	}
	*ret = v;
	return true;
}

/* "name/" in the header, or "/123": an offset into the table of long names, ended by "/\n". */
static bool member_name(const struct archive *a, struct slice field, struct slice *ret)
{
	uint64_t offset;
	size_t n = 0;

	if (field.p[0] == '/') {
		if (!decimal((const char *)field.p + 1, field.n - 1, &offset) ||
		    !slice_sub(a->names, offset, a->names.n - (offset < a->names.n ? offset : 0),
			       &field))
			return false;
	}
	while (n < field.n && field.p[n] != '/' && field.p[n] != '\n')
		n++;
	if (n == 0 || n == field.n || field.p[n] != '/')
		return false;
	return slice_sub(field, 0, n, ret);
}

enum member_kind { MEMBER_FILE, MEMBER_INDEX, MEMBER_NAMES };

static enum member_kind member_kind(const struct ar_header *h)
{
	if (memcmp(h->name, "//              ", 16) == 0)
		return MEMBER_NAMES;
	if (memcmp(h->name, "/               ", 16) == 0 ||
	    memcmp(h->name, "/SYM64/         ", 16) == 0)
		return MEMBER_INDEX;
	return MEMBER_FILE;
}

/*
 * Reads the member at *@offset and moves on to the next. Result: 1, 0 at the end, -EINVAL.
 * Special members come back with an empty name.
 */
static int member_next(const struct archive *a, uint64_t *offset, struct archive_member *ret,
		       enum member_kind *ret_kind)
{
	struct slice field;
	struct ar_header h;
	uint64_t size;

	if (*offset == a->bytes.n)
		return 0;
	if (!slice_copy(a->bytes, *offset, &h, sizeof(h)) || h.end[0] != '`' || h.end[1] != '\n' ||
	    !decimal(h.size, sizeof(h.size), &size) ||
	    !slice_sub(a->bytes, *offset + sizeof(h), size, &ret->data) ||
	    !slice_sub(a->bytes, *offset, sizeof(h.name), &field))
		return -EINVAL;
	*ret_kind = member_kind(&h);
	ret->name = (struct slice){field.p, 0};
	if (*ret_kind == MEMBER_FILE && !member_name(a, field, &ret->name))
		return -EINVAL;
	/* members start at even offsets; the last one's padding may be missing */
	size += size & 1;
	if (size > a->bytes.n - *offset - sizeof(h))
		size = a->bytes.n - *offset - sizeof(h);
	*offset += sizeof(h) + size;
	return 1;
}

/* Two members of one name: a reader that takes the other one would see another bundle. */
static int check_names_once(const struct archive *a, struct loader_report *report)
{
	uint64_t offset = MAGIC_SIZE;
	struct archive_member m;
	enum member_kind kind;
	struct slice first;

	while (member_next(a, &offset, &m, &kind) > 0) {
		if (kind != MEMBER_FILE || archive_find(a, m.name, &first) < 0 ||
		    first.p == m.data.p)
			continue;
		report_add(report, "bad-archive", "the bundle has two members %.*s",
			   SLICE_ARG(m.name));
		return -EINVAL;
	}
	return 0;
}

int archive_open(struct slice bytes, struct archive *ret_archive, struct loader_report *report)
{
	struct archive a = {.bytes = bytes, .names = {bytes.p, 0}};
	uint64_t offset = MAGIC_SIZE;
	struct archive_member m;
	enum member_kind kind;
	unsigned n = 0;
	int r;

	if (!slice_starts(bytes, MAGIC)) {
		report_add(report, "bad-archive", "the bundle is not an ar archive");
		return -EINVAL;
	}
	while ((r = member_next(&a, &offset, &m, &kind)) > 0) {
		if (++n > ARCHIVE_MEMBERS_MAX) {
			report_add(report, "bad-archive", "the bundle has more than %u members",
				   ARCHIVE_MEMBERS_MAX);
			return -EINVAL;
		}
		if (kind == MEMBER_NAMES)
			a.names = m.data;
	}
	if (r < 0) {
		report_add(report, "bad-archive",
			   "the bundle is cut short or damaged: bad member header %u at offset %lu",
			   n + 1, offset);
		return r;
	}
	r = check_names_once(&a, report);
	if (r < 0)
		return r;
	*ret_archive = a;
	return 0;
}

int archive_find(const struct archive *archive, struct slice name, struct slice *ret_data)
{
	uint64_t offset = MAGIC_SIZE;
	struct archive_member m;
	enum member_kind kind;

	while (member_next(archive, &offset, &m, &kind) > 0) {
		if (kind == MEMBER_FILE && slice_equal(m.name, name)) {
			*ret_data = m.data;
			return 0;
		}
	}
	return -ENOENT;
}
