/* SPDX-License-Identifier: MIT */
#include "barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

#define DW_EH_PE_PCREL_SDATA4 0x1b
#define COMMON_MAX                                                                                 \
	64u /* of a common entry, up to its instructions: hostile ones must not take long */
#define ENTRY_MIN 12u /* of a frame description: its common entry, where code begins, its size */

/* [at, end) of .text. */
struct range {
	uint64_t at, end;
};

struct search {
	const struct object *o;
	const struct object_section *text, *frames;
	struct range *described; /* by .eh_frame, by where they begin */
	size_t n_described;
	const struct object_symbol **symbols; /* of .text, by value */
	size_t n_symbols, next_symbol;
	uint64_t *cuts; /* where they begin and end, in order */
	size_t n_cuts, next_cut;
	struct barrier *barriers;
	size_t n, cap;
};

static void search_done(struct search *s)
{
	free(s->described);
	free((void *)s->symbols);
	free(s->cuts);
	free(s->barriers);
}

/* ---- what .eh_frame describes ---- */

static void skip_leb128(struct cursor *c)
{
	while (cursor_le(c, 1) & 0x80)
		;
}

/* Bytes of a pointer in @encoding; 0 = of no fixed size. */
static size_t encoded_bytes(uint8_t encoding)
{
	static const uint8_t bytes[8] = {8, 0, 2, 4, 8};

	return bytes[encoding & 7]; /* the bit above is the sign */
}

/* Whether the common entry at @at has its addresses of code relative and in four bytes. */
static bool encodes_as_expected(const struct object_section *frames, uint64_t at)
{
	uint64_t n = frames->size - at < COMMON_MAX ? frames->size - at : COMMON_MAX;
	struct cursor c = cursor_at(frames->data, frames->size, at, n), letters;
	char letter;

	(void)cursor_take(&c, 9); /* length, id, version */
	letters = c;
	while (cursor_le(&c, 1))
		;
	/* alignment of code and data, return address register, length of what the letters say */
	for (unsigned int i = 0; i < 4; i++)
		skip_leb128(&c);
	if (c.bad || cursor_le(&letters, 1) != 'z')
		return false;
	while ((letter = (char)cursor_le(&letters, 1))) {
		uint8_t encoding;

		if (letter == 'S') /* has no data */
			continue;
		encoding = (uint8_t)cursor_le(&c, 1);
		if (letter == 'R')
			return !c.bad && encoding == DW_EH_PE_PCREL_SDATA4;
		if (letter == 'P')
			(void)cursor_take(&c, encoded_bytes(encoding));
		else if (letter != 'L')
			return false;
	}
	return false;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct object_reloc *)a)->offset,
		 y = ((const struct object_reloc *)b)->offset;

	return x < y ? -1 : x > y;
}

/*
 * Adds what the description at @here covers. A relocation says where its code begins; one without
 * describes what was dropped when the cell was packed.
 */
static void add_described(struct search *s, const struct object_reloc *r, uint64_t bytes)
{
	const struct object_symbol *to = &s->o->symbols[r->symbol];
	uint64_t at = to->value + (uint64_t)r->addend;

	if (r->type != R_X86_64_PC32 || to->place != OBJECT_DEFINED ||
	    &s->o->sections[to->section] != s->text || at >= s->text->size ||
	    bytes > s->text->size - at)
		return;
	s->described[s->n_described++] = (struct range){at, at + bytes};
}

/* @relocs: those of .eh_frame, by offset. Result: 0, -EINVAL. */
static int walk_frames(struct search *s, const struct object_reloc *relocs)
{
	const struct object_section *f = s->frames;
	size_t at_reloc = 0;
	uint64_t next;

	for (uint64_t here = 0; here < f->size; here = next) {
		struct cursor c = cursor_at(f->data, f->size, here, f->size - here);
		uint64_t length = cursor_le(&c, 4), common, bytes;

		next = here + 4 + length;
		if (c.bad || next > f->size)
			return -EINVAL;
		if (length == 0)
			continue;
		common = cursor_le(&c, 4);
		if (c.bad || length < 4)
			return -EINVAL;
		if (common == 0)
			continue;
		(void)cursor_le(&c, 4);
		bytes = cursor_le(&c, 4);
		if (length < ENTRY_MIN || c.bad || common > here + 4 ||
		    !encodes_as_expected(f, here + 4 - common))
			return -EINVAL;
		while (at_reloc < f->n_relocs && relocs[at_reloc].offset < here + 8)
			at_reloc++;
		if (at_reloc < f->n_relocs && relocs[at_reloc].offset == here + 8)
			add_described(s, &relocs[at_reloc], bytes);
	}
	return 0;
}

static int by_range(const void *a, const void *b)
{
	uint64_t x = ((const struct range *)a)->at, y = ((const struct range *)b)->at;

	return x < y ? -1 : x > y;
}

/* Result: 0, -EINVAL, -ENOMEM. */
static int list_described(struct search *s)
{
	size_t bytes = s->frames->n_relocs * sizeof(struct object_reloc);
	struct object_reloc *relocs;
	int r;

	/* no more descriptions are taken than there are relocations */
	s->described = calloc(s->frames->n_relocs + 1, sizeof(*s->described));
	relocs = malloc(bytes + 1);
	if (!s->described || !relocs) {
		free(relocs);
		return -ENOMEM;
	}
	if (bytes)
		memcpy(relocs, s->frames->relocs, bytes);
	qsort(relocs, s->frames->n_relocs, sizeof(*relocs), by_offset);
	r = walk_frames(s, relocs);
	qsort(s->described, s->n_described, sizeof(*s->described), by_range);
	free(relocs);
	return r;
}

/* ---- what is left ---- */

/*
 * Bytes of the no-operation at @p, as assemblers and linkers fill gaps with them (prefixes, then
 * nop or the long nop); 0 = another instruction, or one that does not end before @n.
 */
static size_t nop_bytes(const uint8_t *p, size_t n)
{
	size_t at = 0, bytes;

	while (at < n && (p[at] == 0x66 || p[at] == 0x2e))
		at++;
	if (at < n && p[at] == 0x90)
		return at + 1;
	if (n - at < 3 || p[at] != 0x0f || p[at + 1] != 0x1f || p[at + 2] & 0x38)
		return 0;
	switch (p[at + 2] >> 6) {
	case 0:
		bytes = 3;
		break;
	case 1:
		bytes = 4;
		break;
	case 2:
		bytes = 7;
		break;
	default:
		return 0;
	}
	bytes += (p[at + 2] & 7) == 4; /* an index byte */
	return at + bytes <= n ? at + bytes : 0;
}

static int add_barrier(struct search *s, const struct object_symbol *symbol, uint64_t at,
		       uint64_t end)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct barrier *more = reallocarray(s->barriers, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->barriers = more;
		s->cap = cap;
	}
	s->barriers[s->n++] = (struct barrier){symbol ? symbol->name : NULL, at, end - at};
	return 0;
}

/*
 * A piece inside which no symbol begins or ends; @symbol is the last one that begins at or before
 * it. It begins at an instruction: where the code described before it ends, or at a symbol.
 */
static int add_piece(struct search *s, const struct object_symbol *symbol, struct range piece)
{
	uint64_t code = piece.at;

	for (size_t n = 1; n && code < piece.end; code += n)
		n = nop_bytes(s->text->data + code, piece.end - code);
	if (code == piece.end)
		return 0;
	if (!symbol || (symbol->value != piece.at && piece.at - symbol->value >= symbol->size))
		return add_barrier(s, NULL, code, piece.end);
	return add_barrier(s, symbol, symbol->value == piece.at ? piece.at : code, piece.end);
}

static int by_value(const void *a, const void *b)
{
	const struct object_symbol *x = *(const struct object_symbol *const *)a,
				   *y = *(const struct object_symbol *const *)b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The named symbols of .text, and where they begin and end. */
static int list_symbols(struct search *s)
{
	size_t n = 0;

	s->symbols = calloc(s->o->n_symbols + 1, sizeof(const struct object_symbol *));
	s->cuts = calloc(2 * s->o->n_symbols + 1, sizeof(*s->cuts));
	if (!s->symbols || !s->cuts)
		return -ENOMEM;
	for (size_t i = 0; i < s->o->n_symbols; i++) {
		const struct object_symbol *symbol = &s->o->symbols[i];

		if (symbol->place != OBJECT_DEFINED || symbol->type == STT_SECTION ||
		    &s->o->sections[symbol->section] != s->text || !*symbol->name ||
		    symbol->value >= s->text->size)
			continue;
		s->symbols[n++] = symbol;
		s->cuts[s->n_cuts++] = symbol->value;
		if (symbol->size && symbol->size < s->text->size - symbol->value)
			s->cuts[s->n_cuts++] = symbol->value + symbol->size;
	}
	s->n_symbols = n;
	qsort((void *)s->symbols, n, sizeof(const struct object_symbol *), by_value);
	qsort(s->cuts, s->n_cuts, sizeof(*s->cuts), by_number);
	return 0;
}

/* The pieces of what nothing describes. Gaps come in order: places are looked for from the last. */
static int add_gap(struct search *s, struct range gap)
{
	while (gap.at < gap.end) {
		struct range piece = gap;
		int r;

		while (s->next_cut < s->n_cuts && s->cuts[s->next_cut] <= gap.at)
			s->next_cut++;
		if (s->next_cut < s->n_cuts && s->cuts[s->next_cut] < gap.end)
			piece.end = s->cuts[s->next_cut];
		while (s->next_symbol < s->n_symbols &&
		       s->symbols[s->next_symbol]->value <= piece.at)
			s->next_symbol++;
		r = add_piece(s, s->next_symbol ? s->symbols[s->next_symbol - 1] : NULL, piece);
		if (r < 0)
			return r;
		gap.at = piece.end;
	}
	return 0;
}

static int list_barriers(struct search *s)
{
	uint64_t at = 0;
	int r = list_symbols(s);

	for (size_t i = 0; r == 0 && i < s->n_described; i++) {
		const struct range *d = &s->described[i];

		if (d->at > at)
			r = add_gap(s, (struct range){at, d->at});
		at = d->end > at ? d->end : at;
	}
	return r < 0 ? r : add_gap(s, (struct range){at, s->text->size});
}

static const struct object_section *find(const struct object *o, const char *name)
{
	uint32_t at = object_section_find(o, name);

	return at == OBJECT_NONE || !o->sections[at].data ? NULL : &o->sections[at];
}

int barriers_find(const char *name, const struct object *o, struct barrier **ret_barriers,
		  size_t *ret_n, struct reasons *reasons)
{
	struct search s = {.o = o, .text = find(o, ".text"), .frames = find(o, ".eh_frame")};
	int r = 0;

	if (s.frames)
		r = list_described(&s);
	if (r == -EINVAL)
		r = reasons_add(reasons, "bad-object",
				"%s: section .eh_frame is malformed, or not as GCC writes it",
				name);
	if (r == 0 && s.text)
		r = list_barriers(&s);
	if (r == 0) {
		*ret_barriers = s.barriers;
		*ret_n = s.n;
		s.barriers = NULL;
	}
	search_done(&s);
	return r;
}
