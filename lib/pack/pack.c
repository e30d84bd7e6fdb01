/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "barrier.h"

const struct abi_entry *pack_declared(const struct pack *p, enum abi_kind kind, const char *name)
{
	const struct abi_entry *e = NULL;

	for (const struct abi_index *const *a = p->in->abi; *a && !e; a++)
		e = abi_index_find(*a, kind, name);
	return e;
}

void packed_done(struct packed *p)
{
	if (p->manifest)
		theseus__cell__free_unpacked(p->manifest, NULL);
	buf_done(&p->object);
	buf_done(&p->debug);
	*p = (struct packed){0};
}

/* The build id: of the packed object's bytes, so the same sources give the same one. */
static int set_build_id(struct pack *p, const struct buf *object)
{
	uint8_t *id = malloc(PACK_BUILD_ID_BYTES);

	if (!id)
		return -ENOMEM;
	(void)crypto_generichash(id, PACK_BUILD_ID_BYTES, object->data, object->len, NULL, 0);
	p->cell->build_id.data = id;
	p->cell->build_id.len = PACK_BUILD_ID_BYTES;
	return 0;
}

/* What gdb looks at to match a .debug file: a note of owner GNU, type 3. */
static void build_id_note(const Theseus__Cell *c, struct buf *out)
{
	buf_put_le(out, 4, 4);
	buf_put_le(out, c->build_id.len, 4);
	buf_put_le(out, NT_GNU_BUILD_ID, 4);
	buf_put(out, "GNU", 4);
	buf_put(out, c->build_id.data, c->build_id.len);
}

static bool is_debug(const struct object_section *s)
{
	if (s->flags & SHF_ALLOC)
		return pack_section_of(s->name) != _PACK_SECTION_INVALID && s->size;
	return strncmp(s->name, ".debug_", 7) == 0;
}

/* The linked object with its debug sections and all symbols, without the notes. */
static int write_debug(struct pack *p, struct buf *out)
{
	__attribute__((cleanup(buf_done))) struct buf note = {0};
	uint32_t *map = calloc(p->linked.n_sections + 1, sizeof(*map));
	struct object o = {0};
	int r = map ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < p->linked.n_sections; i++) {
		map[i] = is_debug(&p->linked.sections[i])
				 ? object_section_add(&o, &p->linked.sections[i])
				 : OBJECT_NONE;
		if (map[i] == OBJECT_NONE && is_debug(&p->linked.sections[i]))
			r = -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < p->linked.n_symbols; i++) {
		struct object_symbol s = p->linked.symbols[i];

		/* indices of symbols stay as they are, so relocations need no change */
		if (s.place == OBJECT_DEFINED && map[s.section] == OBJECT_NONE) {
			s.place = OBJECT_ABSOLUTE;
			s.type = s.type == STT_SECTION ? STT_NOTYPE : s.type;
		} else if (s.place == OBJECT_DEFINED) {
			s.section = map[s.section];
		}
		if (object_symbol_add(&o, &s) == OBJECT_NONE)
			r = -ENOMEM;
	}
	if (r == 0) {
		struct object_section s = {
			.name = ".note.gnu.build-id", .type = SHT_NOTE, .align = 4};

		build_id_note(p->cell, &note);
		s.data = note.data;
		s.size = note.len;
		if (!buf_ok(&note) || object_section_add(&o, &s) == OBJECT_NONE)
			r = -ENOMEM;
	}
	if (r == 0)
		r = object_write(&o, out);
	object_done(&o);
	free(map);
	return r;
}

/* What the loader would refuse is refused where its author sees it. */
static int check_frames(struct pack *p)
{
	struct barrier *barriers = NULL;
	size_t n;
	int r = barriers_find(p->files[0].path, &p->out, &barriers, &n, p->reasons);

	free(barriers);
	return r;
}

static int pack_all(struct pack *p, struct packed *out)
{
	int r = pack_link(p), all;

	if (r < 0)
		return r;
	all = pack_check(p);
	r = pack_notes(p);
	all = r < 0 ? r : all;
	r = pack_state(p);
	all = r < 0 ? r : all;
	if (all < 0)
		return all;
	r = pack_emit(p);
	if (r == 0)
		r = check_frames(p);
	if (r == 0)
		r = object_write(&p->out, &out->object);
	if (r == 0)
		r = set_build_id(p, &out->object);
	if (r == 0)
		r = write_debug(p, &out->debug);
	return r;
}

static void pack_done(struct pack *p)
{
	for (size_t i = 0; i < p->n_files; i++) {
		object_done(&p->files[i].object);
		free(p->files[i].data);
	}
	free(p->files);
	object_done(&p->linked);
	free(p->linked_data);
	object_done(&p->out);
	for (int i = 0; p->contents && i <= _PACK_SECTION_MAX; i++)
		free(p->contents[i]);
	free(p->contents);
	if (p->cell)
		theseus__cell__free_unpacked(p->cell, NULL);
}

int pack_cell(const struct pack_input *in, struct packed *ret_packed, struct reasons *reasons)
{
	struct pack p = {.in = in, .reasons = reasons};
	struct packed packed = {0};
	int r = -ENOMEM;

	if (!in->objects[0])
		return reasons_add(reasons, "bad-object", "no object to pack");
	p.cell = malloc(sizeof(*p.cell));
	if (p.cell) {
		theseus__cell__init(p.cell);
		r = pack_all(&p, &packed);
	}
	if (r == 0) {
		packed.manifest = p.cell;
		p.cell = NULL;
		*ret_packed = packed;
	} else {
		packed_done(&packed);
	}
	pack_done(&p);
	return r;
}
