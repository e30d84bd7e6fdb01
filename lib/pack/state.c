/* SPDX-License-Identifier: MIT */
/*
 * The state's schema: the hash of its type as the cell's own unit sees it, because what the
 * state points to is carried over with it. The type comes from the unit's BTF, which the
 * linked object no longer has in usable form. What foreign archives add to the state has no
 * type here: it is carried over only to code from the same archives, byte for byte.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sodium.h>

#include "abi/types.h"
#include "base/file.h"

struct state {
	const struct pack_file *file;
	const struct object_symbol *symbol;
};

/* Finds the one variable in .theseus.state. Result: 0 (maybe none), -EPERM. */
static int find_state(struct pack *p, struct state *ret_state)
{
	struct state found = {0};
	int r = 0;

	for (size_t i = 0; i < p->n_files; i++) {
		const struct object *o = &p->files[i].object;

		for (size_t k = 1; k < o->n_symbols; k++) {
			const struct object_symbol *s = &o->symbols[k];

			if (s->place != OBJECT_DEFINED || s->type == STT_SECTION || !*s->name ||
			    pack_section_of(o->sections[s->section].name) != PACK_STATE)
				continue;
			if (found.symbol)
				r = reasons_add(
					p->reasons, "two-states",
					"%s: CELL_STATE %s, but %s has CELL_STATE %s already",
					p->files[i].path, s->name, found.file->path,
					found.symbol->name);
			found = (struct state){&p->files[i], s};
		}
	}
	*ret_state = found;
	return r;
}

static bool is_interface(const char *tag, void *arg)
{
	return *tag && pack_declared(arg, ABI_INTERFACE, tag);
}

/* A swap replaces code and tables under the state: what it must remember of them is a handle. */
static int check_state(struct pack *p, const struct state *state, const struct btf *btf,
		       uint32_t type)
{
	__attribute__((cleanup(buf_done))) struct buf path = {0};
	int r = abi_type_find_code(btf, type, is_interface, p, &path);

	if (r <= 0)
		return r;
	return reasons_add(
		p->reasons, "bad-state",
		"%s: state %s.%s is the address of code or of a table of functions: keep "
		"the handle of an interface slot instead",
		state->file->path, state->symbol->name, buf_str(&path));
}

static int hash_state(struct pack *p, const struct state *state, const struct btf *btf)
{
	__attribute__((cleanup(buf_done))) struct buf text = {0};
	uint32_t type = abi_variable_type(btf, state->symbol->name, false);
	int r = -EINVAL;

	if (type)
		r = abi_type_hash(btf, type, &p->cell->state_schema);
	if (r == 0)
		r = abi_type_text_full(btf, type, PACK_STATE_TEXT_MAX, &text);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return reasons_add(p->reasons, "bad-state",
				   "%s: the type of state %s cannot be read", state->file->path,
				   state->symbol->name);
	p->cell->state_type = strdup(buf_str(&text));
	return p->cell->state_type ? check_state(p, state, btf, type) : -ENOMEM;
}

/* Of the own part. */
static int own_schema(struct pack *p, const struct state *state)
{
	uint32_t at = object_section_find(&state->file->object, ".BTF");
	struct btf *btf;
	int r;

	if (at == OBJECT_NONE)
		return reasons_add(p->reasons, "bad-state",
				   "%s: no types for the state's schema (compile with gcc -gbtf)",
				   state->file->path);
	btf = btf__new(state->file->object.sections[at].data,
		       (uint32_t)state->file->object.sections[at].size);
	if (libbpf_get_error(btf))
		return reasons_add(p->reasons, "bad-state", "%s: section .BTF is broken",
				   state->file->path);
	r = hash_state(p, state, btf);
	btf__free(btf);
	return r;
}

static int hash_archive(crypto_hash_sha256_state *hash, const char *path)
{
	__attribute__((cleanup(buf_done))) struct buf bytes = {0};
	int r = file_read(path, OBJECT_BYTES_MAX, &bytes.data, &bytes.len);

	if (r == 0)
		(void)crypto_hash_sha256_update(hash, bytes.data, bytes.len);
	return r;
}

/* Adds what @bytes of foreign state are to schema and type. */
static int foreign_schema(struct pack *p, uint64_t bytes)
{
	__attribute__((cleanup(buf_done))) struct buf text = {0};
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state hash;
	uint64_t own = p->cell->state_schema;

	(void)crypto_hash_sha256_init(&hash);
	(void)crypto_hash_sha256_update(&hash, (const uint8_t *)&own, sizeof(own));
	for (const char *const *a = p->in->archives; *a; a++) {
		int r = hash_archive(&hash, *a);

		if (r < 0)
			return reasons_add(p->reasons, "bad-state", "%s: %s", *a, strerror(-r));
	}
	(void)crypto_hash_sha256_final(&hash, digest);
	memcpy(&p->cell->state_schema, digest, sizeof(p->cell->state_schema));
	p->cell->state_schema |= p->cell->state_schema == 0;
	if (own) {
		buf_printf(&text, "%s and ", p->cell->state_type);
		free(p->cell->state_type);
	}
	buf_printf(&text, "%llu bytes of foreign archives", (unsigned long long)bytes);
	p->cell->state_type = strdup(buf_str(&text));
	return p->cell->state_type ? 0 : -ENOMEM;
}

int pack_state(struct pack *p)
{
	uint32_t linked = object_section_find(&p->linked, pack_section_names[PACK_STATE]);
	bool foreign = p->in->archives && p->in->archives[0];
	struct state state;
	uint64_t bytes, own;
	int r = find_state(p, &state);

	if (r < 0)
		return r;
	if (linked == OBJECT_NONE || p->linked.sections[linked].size == 0)
		return 0;
	bytes = p->linked.sections[linked].size;
	own = state.symbol ? state.symbol->size : 0;
	if (foreign ? bytes < own : bytes != own)
		return reasons_add(p->reasons, "bad-state",
				   "%s: section .theseus.state holds more than one CELL_STATE",
				   p->files[0].path);
	p->cell->state_bytes = bytes;
	r = state.symbol ? own_schema(p, &state) : 0;
	return r == 0 && bytes > own ? foreign_schema(p, bytes - own) : r;
}
