/* SPDX-License-Identifier: MIT */
#include "manifest.h"

#include <theseus/errno.h>

/* ---- protobuf wire format ---- */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number;
	uint32_t type;
	uint64_t value;     /* of the numeric types */
	struct slice bytes; /* of WIRE_BYTES */
};

static bool read_varint(struct slice s, uint64_t *offset, uint64_t *ret)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (!slice_copy(s, *offset, &b, 1) || (shift == 63 && b > 1))
			return false;
		*offset += 1;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* Reads the field at *@offset and moves on. Result: 1, 0 at the end, -EINVAL. */
static int next_field(struct slice s, uint64_t *offset, struct field *ret)
{
	uint64_t key, len;
	uint32_t v32;

	if (*offset == s.n)
		return 0;
	if (!read_varint(s, offset, &key) || key >> 3 == 0 || key > UINT32_MAX)
		return -EINVAL;
	*ret = (struct field){.number = (uint32_t)(key >> 3), .type = (uint32_t)(key & 7)};
	switch (ret->type) {
	case WIRE_VARINT:
		return read_varint(s, offset, &ret->value) ? 1 : -EINVAL;
	case WIRE_FIXED64:
		if (!slice_copy(s, *offset, &ret->value, 8))
			return -EINVAL;
		*offset += 8;
		return 1;
	case WIRE_FIXED32:
		if (!slice_copy(s, *offset, &v32, 4))
			return -EINVAL;
		ret->value = v32;
		*offset += 4;
		return 1;
	case WIRE_BYTES:
		if (!read_varint(s, offset, &len) || !slice_sub(s, *offset, len, &ret->bytes))
			return -EINVAL;
		*offset += len;
		return 1;
	default: /* groups */
		return -EINVAL;
	}
}

/* ---- messages: one function a field, so that a wrong wire type is an error by name ---- */

static bool get_text(const struct field *f, size_t max, struct slice *ret)
{
	if (f->type != WIRE_BYTES || f->bytes.n > max)
		return false;
	for (size_t i = 0; i < f->bytes.n; i++) {
		if (f->bytes.p[i] < ' ' || f->bytes.p[i] == 0x7f)
			return false;
	}
	*ret = f->bytes;
	return true;
}

/* A C identifier, short enough for a buffer of @size bytes with its NUL. */
static bool get_name(const struct field *f, size_t size, struct slice *ret)
{
	if (f->type != WIRE_BYTES || f->bytes.n == 0 || f->bytes.n >= size)
		return false;
	for (size_t i = 0; i < f->bytes.n; i++) {
		uint8_t c = f->bytes.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	*ret = f->bytes;
	return true;
}

static bool get_u64(const struct field *f, uint64_t max, uint64_t *ret)
{
	if (f->type != WIRE_VARINT || f->value > max)
		return false;
	*ret = f->value;
	return true;
}

static bool get_u32(const struct field *f, uint32_t *ret)
{
	if (f->type != WIRE_VARINT || f->value > UINT32_MAX)
		return false;
	*ret = (uint32_t)f->value;
	return true;
}

static bool get_u8(const struct field *f, uint8_t max, uint8_t *ret)
{
	if (f->type != WIRE_VARINT || f->value > max)
		return false;
	*ret = (uint8_t)f->value;
	return true;
}

static bool get_fixed64(const struct field *f, uint64_t *ret)
{
	*ret = f->value;
	return f->type == WIRE_FIXED64;
}

static bool get_bytes(const struct field *f, size_t n, uint8_t *ret)
{
	if (f->type != WIRE_BYTES || f->bytes.n != n)
		return false;
	memcpy(ret, f->bytes.p, n);
	return true;
}

static bool parse_export(struct slice s, struct manifest_export *e)
{
	uint64_t offset = 0;
	struct field f;
	bool ok = true;
	uint8_t b = 0;
	int r = 0;

	*e = (struct manifest_export){0};
	while (ok && (r = next_field(s, &offset, &f)) > 0) {
		switch (f.number) {
		case 1:
			ok = get_name(&f, CELL_SYMBOL_MAX, &e->name);
			break;
		case 2:
			ok = get_fixed64(&f, &e->abi);
			break;
		case 3:
			ok = get_text(&f, MANIFEST_SIGNATURE_MAX, &e->signature);
			break;
		case 4:
			ok = get_u8(&f, 1, &b);
			break;
		}
	}
	e->blocking = b != 0;
	return ok && r == 0 && e->name.n > 0;
}

static bool parse_import(struct slice s, struct manifest_import *i)
{
	uint64_t offset = 0;
	struct field f;
	bool ok = true;
	int r = 0;

	*i = (struct manifest_import){0};
	while (ok && (r = next_field(s, &offset, &f)) > 0) {
		if (f.number == 1)
			ok = get_name(&f, CELL_SYMBOL_MAX, &i->name);
		else if (f.number == 2)
			ok = get_fixed64(&f, &i->abi);
	}
	return ok && r == 0 && i->name.n > 0;
}

static bool parse_provide(struct slice s, struct manifest_provide *p)
{
	uint64_t offset = 0;
	struct field f;
	bool ok = true;
	int r = 0;

	*p = (struct manifest_provide){0};
	while (ok && (r = next_field(s, &offset, &f)) > 0) {
		switch (f.number) {
		case 1:
			ok = get_name(&f, CELL_NAME_MAX, &p->interface);
			break;
		case 2:
			ok = get_name(&f, CELL_NAME_MAX, &p->name);
			break;
		case 3:
			ok = get_name(&f, CELL_SYMBOL_MAX, &p->symbol);
			break;
		case 4:
			ok = get_fixed64(&f, &p->abi);
			break;
		}
	}
	return ok && r == 0 && p->interface.n > 0 && p->name.n > 0 && p->symbol.n > 0;
}

static bool get_scalar(const struct field *f, struct manifest_cell *c)
{
	switch (f->number) {
	case 1:
		return get_name(f, CELL_NAME_MAX, &c->name);
	case 2:
		return get_text(f, sizeof(((struct loader_cell *)0)->version) - 1, &c->version);
	case 3:
		return get_text(f, 400, &c->summary);
	case 4:
		return get_text(f, 255, &c->object);
	case 5:
		return get_u64(f, UINT32_MAX, &c->size);
	case 6:
		return get_bytes(f, sizeof(c->sha256), c->sha256);
	case 7:
		return get_u32(f, &c->sdk_abi);
	case 8:
		return get_u32(f, &c->grants);
	case 9:
		return get_u8(f, CELL_UNSAFE, &c->safety);
	case 10:
		return get_u8(f, CELL_QUIESCE_IDLE, &c->quiescence);
	case 11:
		return get_u8(f, CELL_RESTART_ALWAYS, &c->restart);
	case 12:
		return get_fixed64(f, &c->state_schema);
	case 13:
		c->state_type = f->bytes;
		return f->type == WIRE_BYTES;
	case 14:
		return get_u64(f, UINT32_MAX, &c->state_bytes);
	case 19:
		return f->type == WIRE_BYTES &&
		       (f->bytes.n == 0 || get_bytes(f, sizeof(c->build_id), c->build_id));
	default: /* unknown fields are for newer readers */
		return true;
	}
}

/* @deep: checks the lists too; they are only counted when that was done before. */
static bool parse_cell(struct slice s, bool deep, struct manifest_cell *c)
{
	struct manifest_provide p;
	struct manifest_export e;
	struct manifest_import i;
	uint64_t offset = 0;
	struct slice name;
	struct field f;
	bool ok = true;
	int r = 0;

	*c = (struct manifest_cell){.body = s};
	while (ok && (r = next_field(s, &offset, &f)) > 0) {
		if (f.number >= 15 && f.number <= 18 && f.type != WIRE_BYTES)
			return false;
		switch (f.number) {
		case 15:
			ok = ++c->n_exports <= MANIFEST_EXPORTS_MAX &&
			     (!deep || parse_export(f.bytes, &e));
			break;
		case 16:
			ok = ++c->n_imports <= MANIFEST_IMPORTS_MAX &&
			     (!deep || parse_import(f.bytes, &i));
			break;
		case 17:
			ok = ++c->n_provides <= MANIFEST_PROVIDES_MAX &&
			     (!deep || parse_provide(f.bytes, &p));
			break;
		case 18:
			ok = ++c->n_consumes <= MANIFEST_CONSUMES_MAX &&
			     (!deep || get_name(&f, CELL_NAME_MAX, &name));
			break;
		default:
			ok = get_scalar(&f, c);
		}
	}
	return ok && r == 0 && c->name.n > 0 && c->object.n > 0;
}

/* ---- iterators ---- */

/* The next field @number of the checked message @s. */
static bool next_of(struct slice s, uint64_t *offset, uint32_t number, struct field *ret)
{
	while (next_field(s, offset, ret) > 0) {
		if (ret->number == number)
			return true;
	}
	return false;
}

bool manifest_next_cell(const struct manifest *m, uint64_t *offset, struct manifest_cell *ret)
{
	struct field f;

	return next_of(m->bytes, offset, 5, &f) && parse_cell(f.bytes, false, ret);
}

bool manifest_next_obsolete(const struct manifest *m, uint64_t *offset, struct slice *ret_name)
{
	struct field f;

	return next_of(m->bytes, offset, 6, &f) && get_name(&f, CELL_NAME_MAX, ret_name);
}

bool manifest_next_export(const struct manifest_cell *c, uint64_t *offset,
			  struct manifest_export *ret)
{
	struct field f;

	return next_of(c->body, offset, 15, &f) && parse_export(f.bytes, ret);
}

bool manifest_next_import(const struct manifest_cell *c, uint64_t *offset,
			  struct manifest_import *ret)
{
	struct field f;

	return next_of(c->body, offset, 16, &f) && parse_import(f.bytes, ret);
}

bool manifest_next_provide(const struct manifest_cell *c, uint64_t *offset,
			   struct manifest_provide *ret)
{
	struct field f;

	return next_of(c->body, offset, 17, &f) && parse_provide(f.bytes, ret);
}

bool manifest_next_consume(const struct manifest_cell *c, uint64_t *offset,
			   struct slice *ret_interface)
{
	struct field f;

	return next_of(c->body, offset, 18, &f) && get_name(&f, CELL_NAME_MAX, ret_interface);
}

/* ---- the whole ---- */

struct names {
	uint32_t n;
	struct slice name[MANIFEST_CELLS_MAX];
};

/* Checks a cell's record whose name must be none of @seen, and adds it there. */
static bool check_cell(const struct field *f, struct names *seen, const char **ret_what,
		       struct slice *ret_name)
{
	struct manifest_cell c = {0};

	*ret_what = "too many cells";
	if (f->type != WIRE_BYTES || seen->n == MANIFEST_CELLS_MAX)
		return false;
	*ret_what = "a cell's record is damaged or too large";
	if (!parse_cell(f->bytes, true, &c)) {
		*ret_name = c.name;
		return false;
	}
	*ret_name = c.name;
	*ret_what = "names a cell twice";
	for (uint32_t i = 0; i < seen->n; i++) {
		if (slice_equal(seen->name[i], c.name))
			return false;
	}
	seen->name[seen->n++] = c.name;
	return true;
}

/* Result: 0, -EINVAL: what is wrong in *@ret_what. */
static int check_fields(struct manifest *m, const char **ret_what, struct slice *ret_cell)
{
	uint64_t offset = 0, format = 0;
	struct names seen = {0};
	struct slice obsolete;
	struct field f;
	bool ok = true;
	int r = 0;

	while (ok && (r = next_field(m->bytes, &offset, &f)) > 0) {
		*ret_what = "a field has the wrong type or is too large";
		if (f.number == 1) {
			ok = get_u64(&f, UINT32_MAX, &format);
		} else if (f.number == 2) {
			ok = get_u64(&f, UINT64_MAX, &m->sequence);
		} else if (f.number == 3) {
			ok = get_u64(&f, UINT64_MAX, &m->floor);
		} else if (f.number == 4) {
			ok = get_u64(&f, UINT64_MAX, &m->expiry_unix);
		} else if (f.number == 5) {
			ok = check_cell(&f, &seen, ret_what, ret_cell);
		} else if (f.number == 6) {
			ok = ++m->n_obsoletes <= MANIFEST_CELLS_MAX &&
			     get_name(&f, CELL_NAME_MAX, &obsolete);
		}
	}
	if (!ok)
		return -EINVAL;
	if (r < 0) {
		*ret_what = "damaged wire format";
		return r;
	}
	m->n_cells = seen.n;
	*ret_what = "unknown format number";
	return format == MANIFEST_FORMAT ? 0 : -EINVAL;
}

int manifest_open(struct slice bytes, struct manifest *ret_manifest, struct loader_report *report)
{
	struct manifest m = {.bytes = bytes};
	struct slice cell = {bytes.p, 0};
	const char *what;

	if (bytes.n > MANIFEST_BYTES_MAX) {
		report_add(report, "bad-manifest", "manifest.pb is larger than %u bytes",
			   MANIFEST_BYTES_MAX);
		return -EINVAL;
	}
	if (check_fields(&m, &what, &cell) < 0) {
		report_add(report, "bad-manifest", "manifest.pb: %s%s%.*s", what,
			   cell.n ? ", at cell " : "", SLICE_ARG(cell));
		return -EINVAL;
	}
	if (m.n_cells == 0 && m.n_obsoletes == 0) {
		report_add(report, "bad-manifest", "manifest.pb names no cell");
		return -EINVAL;
	}
	*ret_manifest = m;
	return 0;
}
