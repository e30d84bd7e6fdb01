/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static void entry_done(struct abi_entry *e)
{
	free(e->name);
	free(e->header);
	free(e->signature);
}

void abi_index_done(struct abi_index *index)
{
	for (size_t i = 0; i < index->n; i++)
		entry_done(&index->entries[i]);
	free(index->entries);
	*index = (struct abi_index){0};
}

int abi_index_add(struct abi_index *index, const struct abi_entry *entry)
{
	struct abi_entry e = *entry;

	if (index->n == index->cap) {
		size_t cap = index->cap ? index->cap * 2 : 64;
		struct abi_entry *entries = reallocarray(index->entries, cap, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		index->entries = entries;
		index->cap = cap;
	}
	e.name = strdup(entry->name);
	e.header = strdup(entry->header);
	e.signature = strdup(entry->signature);
	if (!e.name || !e.header || !e.signature) {
		entry_done(&e);
		return -ENOMEM;
	}
	index->entries[index->n++] = e;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct abi_entry *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int compare_all(const void *a, const void *b)
{
	const struct abi_entry *x = a, *y = b;
	int r = compare(a, b);

	return r ? r : strcmp(x->header, y->header);
}

int abi_index_sort(struct abi_index *index, struct reasons *reasons)
{
	size_t kept = 0;
	int r = 0;

	if (index->n)
		qsort(index->entries, index->n, sizeof(*index->entries), compare_all);
	for (size_t i = 0; i < index->n; i++) {
		struct abi_entry *e = &index->entries[i], *last = e;

		if (kept)
			last = &index->entries[kept - 1];
		if (!kept || compare(last, e) != 0) {
			index->entries[kept++] = *e;
			continue;
		}
		if (last->hash != e->hash)
			r = reasons_add(reasons, "abi-conflict", "%s: %s says %s, %s says %s",
					e->name, last->header, last->signature, e->header,
					e->signature);
		entry_done(e);
	}
	index->n = kept;
	return r;
}

const struct abi_entry *abi_index_find(const struct abi_index *index, enum abi_kind kind,
				       const char *name)
{
	size_t low = 0, high = index->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct abi_entry *e = &index->entries[mid];
		int order = e->kind == kind ? strcmp(e->name, name) : (int)e->kind - (int)kind;

		if (order == 0)
			return e;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void abi_index_write(const struct abi_index *index, struct buf *out)
{
	for (size_t i = 0; i < index->n; i++) {
		const struct abi_entry *e = &index->entries[i];

		buf_printf(out, "%s\t%s\t%016" PRIx64 "\t%s\t%s\t%s\n",
			   e->kind == ABI_FUNCTION ? "function" : "interface", e->name, e->hash,
			   e->restartable ? "r" : "-", e->header, e->signature);
	}
}

/* Cuts the text before @end from @at on; NULL where @end does not come. */
static char *take_field(char **at, char end)
{
	char *start = *at, *stop = start ? strchr(start, end) : NULL;

	*at = NULL;
	if (!stop)
		return NULL;
	*stop = 0;
	*at = stop + 1;
	return start;
}

static int parse_line(char *line, struct abi_entry *ret_entry)
{
	char *kind = take_field(&line, '\t'), *name = take_field(&line, '\t');
	char *hash = take_field(&line, '\t'), *flags = take_field(&line, '\t');
	char *header = take_field(&line, '\t'), *end;

	if (!kind || !name || !hash || !flags || !header || strlen(hash) != 16)
		return -EINVAL;
	*ret_entry = (struct abi_entry){
		.kind = strcmp(kind, "function") == 0 ? ABI_FUNCTION : ABI_INTERFACE,
		.restartable = *flags == 'r',
		.hash = strtoull(hash, &end, 16),
		.name = name,
		.header = header,
		.signature = line,
	};
	return *end || (ret_entry->kind == ABI_INTERFACE && strcmp(kind, "interface") != 0)
		       ? -EINVAL
		       : 0;
}

int abi_index_parse(const char *text, struct abi_index *index, struct reasons *reasons)
{
	__attribute__((cleanup(str_free))) char *copy = strdup(text);
	char *at = copy, *line;

	if (!copy)
		return -ENOMEM;
	for (unsigned int n = 1; at && *at; n++) {
		struct abi_entry e;

		line = take_field(&at, '\n');
		if (!line || parse_line(line, &e) < 0)
			return reasons_add(reasons, "bad-abi-index", "line %u is no ABI entry", n);
		if (abi_index_add(index, &e) < 0)
			return -ENOMEM;
	}
	return 0;
}

int abi_index_load(const char *path, struct abi_index *index, struct reasons *reasons)
{
	__attribute__((cleanup(str_free))) char *text = NULL;
	uint8_t *data;
	size_t size;
	int r = file_read(path, ABI_INDEX_BYTES_MAX, &data, &size);

	if (r < 0)
		return reasons_add(reasons, "bad-abi-index", "%s: %s", path, strerror(-r));
	text = (char *)data;
	return abi_index_parse(text, index, reasons);
}
