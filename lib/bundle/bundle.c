/* SPDX-License-Identifier: MIT */
#include "bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "ar.h"
#include "base/file.h"

struct bundle {
	uint8_t *data;
	size_t size;
	struct ar_member *members;
	size_t n_members;
	Theseus__Manifest *manifest;
	const struct ar_member **objects; /* one a cell of the manifest */
	const struct ar_member *signature;
};

/* What unpacking a manifest may allocate: many empty submessages in few bytes cost memory. */
#define UNPACK_BYTES_MAX (64u << 20)

struct budget {
	size_t left;
};

static void *budget_alloc(void *arg, size_t size)
{
	struct budget *b = arg;

	if (size > b->left)
		return NULL;
	b->left -= size;
	return malloc(size);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

void bundle_free(struct bundle *b)
{
	if (!b)
		return;
	if (b->manifest)
		theseus__manifest__free_unpacked(b->manifest, NULL);
	free(b->objects);
	free(b->members);
	free(b->data);
	free(b);
}

bool bundle_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len < BUNDLE_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

bool bundle_version_valid(const char *version)
{
	const char *p = version;

	for (int part = 0; part < 3; part++) {
		size_t digits = strspn(p, "0123456789");

		if (digits == 0 || digits > 9 || (digits > 1 && *p == '0'))
			return false;
		p += digits;
		if (part < 2 && *p++ != '.')
			return false;
	}
	if (*p == '-' || *p == '+') {
		size_t len = strspn(
			p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+");

		if (len == 0)
			return false;
		p += 1 + len;
	}
	return *p == 0 && strlen(version) <= 15;
}

static bool symbol_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= BUNDLE_SYMBOL_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

/* The part of a manifest entry that later code rests on without looking again. */
static int check_cell(const char *path, const Theseus__Cell *c, size_t at, struct reasons *reasons)
{
	const char *what = NULL;

	if (!bundle_name_valid(c->name))
		return reasons_add(reasons, "bad-manifest", "%s: cell %zu has no proper name", path,
				   at);
	if (!bundle_version_valid(c->version))
		what = "version";
	else if (c->sha256.len != 32)
		what = "SHA-256";
	else if (c->build_id.len != 0 && c->build_id.len != 20)
		what = "build id";
	else if (strlen(c->summary) >= 100)
		what = "summary";
	for (size_t i = 0; i < c->n_exports && !what; i++)
		what = symbol_valid(c->exports[i]->name) ? NULL : "export";
	for (size_t i = 0; i < c->n_imports && !what; i++)
		what = symbol_valid(c->imports[i]->name) ? NULL : "import";
	for (size_t i = 0; i < c->n_provides && !what; i++)
		if (!bundle_name_valid(c->provides[i]->interface) ||
		    !bundle_name_valid(c->provides[i]->name) ||
		    !symbol_valid(c->provides[i]->symbol))
			what = "provide";
	for (size_t i = 0; i < c->n_consumes && !what; i++)
		what = bundle_name_valid(c->consumes[i]) ? NULL : "consume";
	if (what)
		return reasons_add(reasons, "bad-manifest", "%s: cell '%s' has a bad %s", path,
				   c->name, what);
	return 0;
}

static const struct ar_member *find_member(const struct bundle *b, const char *name)
{
	for (size_t i = 0; i < b->n_members; i++)
		if (strcmp(b->members[i].name, name) == 0)
			return &b->members[i];
	return NULL;
}

static int read_manifest(const char *path, struct bundle *b, struct reasons *reasons)
{
	const struct ar_member *m = find_member(b, BUNDLE_MANIFEST);
	struct budget budget = {UNPACK_BYTES_MAX};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};

	if (!m)
		return reasons_add(reasons, "no-manifest", "%s: no member '%s'", path,
				   BUNDLE_MANIFEST);
	if (m->size > BUNDLE_MANIFEST_MAX)
		return reasons_add(reasons, "too-large",
				   "%s: the manifest has %zu bytes, %u are allowed", path, m->size,
				   BUNDLE_MANIFEST_MAX);
	b->manifest = theseus__manifest__unpack(&allocator, m->size, m->data);
	if (!b->manifest)
		return reasons_add(reasons, "bad-manifest", "%s: '%s' is not a manifest", path,
				   BUNDLE_MANIFEST);
	if (b->manifest->format != BUNDLE_FORMAT)
		return reasons_add(reasons, "unknown-format", "%s: format %u, this tool reads %u",
				   path, b->manifest->format, BUNDLE_FORMAT);
	if (b->manifest->n_cells == 0 || b->manifest->n_cells > BUNDLE_CELLS_MAX)
		return reasons_add(reasons, "bad-manifest", "%s: %zu cells, 1 to %u are allowed",
				   path, b->manifest->n_cells, BUNDLE_CELLS_MAX);
	for (size_t i = 0; i < b->manifest->n_obsoletes; i++)
		if (!bundle_name_valid(b->manifest->obsoletes[i]))
			return reasons_add(reasons, "bad-manifest",
					   "%s: a cell to remove has no proper name", path);
	return 0;
}

/* Joins cell @at with its object. */
static int find_object(const char *path, struct bundle *b, size_t at, struct reasons *reasons)
{
	const Theseus__Cell *c = b->manifest->cells[at];
	const struct ar_member *m = find_member(b, c->object);
	uint8_t digest[crypto_hash_sha256_BYTES];

	for (size_t i = 0; i < at; i++) {
		if (strcmp(b->manifest->cells[i]->name, c->name) == 0)
			return reasons_add(reasons, "duplicate-cell", "%s: cell '%s' comes twice",
					   path, c->name);
		if (strcmp(b->manifest->cells[i]->object, c->object) == 0)
			return reasons_add(reasons, "bad-manifest",
					   "%s: cells '%s' and '%s' name one object", path,
					   b->manifest->cells[i]->name, c->name);
	}
	if (!m || strcmp(c->object, BUNDLE_MANIFEST) == 0 ||
	    strcmp(c->object, BUNDLE_SIGNATURE) == 0)
		return reasons_add(reasons, "missing-object",
				   "%s: the object of cell '%s' is missing", path, c->name);
	b->objects[at] = m;
	if (m->size != c->size)
		return reasons_add(reasons, "size-mismatch",
				   "%s: cell '%s' has %zu bytes, its manifest says %llu", path,
				   c->name, m->size, (unsigned long long)c->size);
	(void)crypto_hash_sha256(digest, m->data, m->size);
	if (memcmp(digest, c->sha256.data, sizeof(digest)) != 0)
		return reasons_add(reasons, "hash-mismatch",
				   "%s: the SHA-256 of cell '%s' is not that of its manifest", path,
				   c->name);
	return 0;
}

/* Members that nothing signed speaks of. */
static int check_strays(const char *path, struct bundle *b, struct reasons *reasons)
{
	int r = 0;

	for (size_t i = 0; i < b->n_members; i++) {
		const struct ar_member *m = &b->members[i];
		bool known = strcmp(m->name, BUNDLE_MANIFEST) == 0;

		if (strcmp(m->name, BUNDLE_SIGNATURE) == 0) {
			b->signature = m;
			continue;
		}
		for (size_t k = 0; k < b->manifest->n_cells && !known; k++)
			known = b->objects[k] == m;
		if (!known)
			r = reasons_add(reasons, "stray-member",
					"%s: the manifest does not know member '%s'", path,
					m->name);
	}
	return r;
}

static int parse(const char *path, struct bundle *b, struct reasons *reasons)
{
	struct reasons why = {0};
	int r = ar_parse(b->data, b->size, &b->members, &b->n_members, &why), all = 0;

	if (r < 0) {
		for (size_t i = 0; i < why.n; i++)
			(void)reasons_add(reasons, why.code, "%s: %s", path, why.text[i]);
		reasons_done(&why);
		return r;
	}
	r = read_manifest(path, b, reasons);
	if (r < 0)
		return r;
	b->objects = calloc(b->manifest->n_cells, sizeof(*b->objects));
	if (!b->objects)
		return -ENOMEM;
	for (size_t i = 0; i < b->manifest->n_cells; i++) {
		r = check_cell(path, b->manifest->cells[i], i, reasons);
		if (r == 0)
			r = find_object(path, b, i, reasons);
		if (r < 0)
			all = r;
	}
	r = all < 0 ? all : check_strays(path, b, reasons);
	return r;
}

/* Takes over @data, also on error. */
static int open_owned(const char *name, uint8_t *data, size_t size, struct bundle **ret_bundle,
		      struct reasons *reasons)
{
	struct bundle *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		free(data);
		return -ENOMEM;
	}
	b->data = data;
	b->size = size;
	r = parse(name, b, reasons);
	if (r < 0) {
		bundle_free(b);
		return r;
	}
	*ret_bundle = b;
	return 0;
}

int bundle_open_file(const char *path, struct bundle **ret_bundle, struct reasons *reasons)
{
	uint8_t *data;
	size_t size;
	int r = file_read(path, BUNDLE_BYTES_MAX, &data, &size);

	if (r == -ENOMEM)
		return r;
	if (r == -EFBIG)
		return reasons_add(reasons, "too-large", "%s: larger than %u MiB", path,
				   BUNDLE_BYTES_MAX >> 20);
	if (r < 0)
		return reasons_add(reasons, r == -ENOENT ? "no-such-file" : "unreadable", "%s: %s",
				   path, r == -EINVAL ? "not a file" : strerror(-r));
	return open_owned(path, data, size, ret_bundle, reasons);
}

int bundle_open(const char *name, const void *data, size_t size, struct bundle **ret_bundle,
		struct reasons *reasons)
{
	uint8_t *copy;

	if (size > BUNDLE_BYTES_MAX)
		return reasons_add(reasons, "too-large", "%s: larger than %u MiB", name,
				   BUNDLE_BYTES_MAX >> 20);
	copy = malloc(size ? size : 1);
	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, data, size);
	return open_owned(name, copy, size, ret_bundle, reasons);
}

const Theseus__Manifest *bundle_manifest(const struct bundle *b)
{
	return b->manifest;
}

size_t bundle_n_cells(const struct bundle *b)
{
	return b->manifest->n_cells;
}

struct bundle_cell bundle_cell_at(const struct bundle *b, size_t index)
{
	return (struct bundle_cell){
		.manifest = b->manifest->cells[index],
		.object = b->objects[index]->data,
		.size = b->objects[index]->size,
	};
}

int bundle_cell_find(const struct bundle *b, const char *name, struct bundle_cell *ret_cell)
{
	for (size_t i = 0; i < b->manifest->n_cells; i++) {
		if (strcmp(b->manifest->cells[i]->name, name) == 0) {
			*ret_cell = bundle_cell_at(b, i);
			return 0;
		}
	}
	return -ENOENT;
}

const uint8_t *bundle_bytes(const struct bundle *b, size_t *ret_size)
{
	*ret_size = b->size;
	return b->data;
}

void bundle_sha256(const struct bundle *b, uint8_t ret_hash[32])
{
	(void)crypto_hash_sha256(ret_hash, b->data, b->size);
}

const uint8_t *bundle_signature(const struct bundle *b, size_t *ret_size)
{
	if (!b->signature)
		return NULL;
	*ret_size = b->signature->size;
	return b->signature->data;
}
