/* SPDX-License-Identifier: MIT */
#include "types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <sodium.h>

/*
 * The hash is over a serialisation: one tag byte a node, then its fields, then the types it
 * refers to, depth first. A composite that was met before is written as its number, so the
 * bytes depend on the type graph alone and not on ids, which follow the unit's order.
 */
struct walk {
	const struct btf *btf;
	crypto_generichash_state hash;
	uint32_t *seen; /* ids of composites in the order of their first visit */
	size_t n_seen, cap_seen;
};

static const char *type_name(const struct btf *btf, uint32_t name_off)
{
	const char *name = name_off ? btf__name_by_offset(btf, name_off) : "";

	return name ? name : "";
}

static void feed(struct walk *w, const void *data, size_t len)
{
	(void)crypto_generichash_update(&w->hash, data, len);
}

static void feed_u64(struct walk *w, uint64_t v)
{
	uint8_t le[8];

	for (unsigned int i = 0; i < 8; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	feed(w, le, sizeof(le));
}

static void feed_str(struct walk *w, const char *s)
{
	feed_u64(w, strlen(s));
	feed(w, s, strlen(s));
}

static void feed_node(struct walk *w, char tag, const char *name, uint64_t a, uint64_t b)
{
	feed(w, &tag, 1);
	feed_str(w, name);
	feed_u64(w, a);
	feed_u64(w, b);
}

/* Position of a composite in `seen`, or -ENOENT after it was entered there. */
static int64_t remember(struct walk *w, uint32_t id)
{
	for (size_t i = 0; i < w->n_seen; i++)
		if (w->seen[i] == id)
			return (int64_t)i;
	if (w->n_seen == w->cap_seen) {
		size_t cap = w->cap_seen ? w->cap_seen * 2 : 64;
		uint32_t *seen = reallocarray(w->seen, cap, sizeof(*seen));

		if (!seen)
			return -ENOMEM;
		w->seen = seen;
		w->cap_seen = cap;
	}
	w->seen[w->n_seen++] = id;
	return -ENOENT;
}

static int walk_type(struct walk *w, uint32_t id, const char *alias, unsigned int depth);

static int walk_members(struct walk *w, const struct btf_type *t, unsigned int depth)
{
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		int r;

		feed_node(w, 'm', type_name(w->btf, m[i].name_off), btf_member_bit_offset(t, i),
			  btf_member_bitfield_size(t, i));
		r = walk_type(w, m[i].type, "", depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static void walk_enum(struct walk *w, const struct btf_type *t, const char *name)
{
	const struct btf_enum *e = btf_enum(t);

	feed_node(w, 'e', name, t->size, btf_vlen(t));
	for (uint32_t i = 0; i < btf_vlen(t); i++)
		feed_node(w, 'v', type_name(w->btf, e[i].name_off), (uint64_t)(int64_t)e[i].val, 0);
}

static int walk_composite(struct walk *w, uint32_t id, const struct btf_type *t, const char *alias,
			  unsigned int depth)
{
	const char *name = t->name_off ? type_name(w->btf, t->name_off) : alias;
	int64_t at = remember(w, id);

	if (at >= 0) {
		feed_node(w, '#', "", (uint64_t)at, 0);
		return 0;
	}
	if (at != -ENOENT)
		return (int)at;
	if (btf_is_any_enum(t)) {
		walk_enum(w, t, name);
		return 0;
	}
	feed_node(w, btf_is_union(t) ? 'u' : 's', name, t->size, btf_vlen(t));
	return walk_members(w, t, depth);
}

static int walk_function(struct walk *w, const struct btf_type *t, unsigned int depth)
{
	const struct btf_param *p = btf_params(t);
	int r;

	feed_node(w, 'f', "", btf_vlen(t), 0);
	r = walk_type(w, t->type, "", depth + 1);
	for (uint32_t i = 0; r == 0 && i < btf_vlen(t); i++) {
		if (i + 1 == btf_vlen(t) && p[i].type == 0) /* the last one of type void: "..." */
			feed_node(w, '.', "", 0, 0);
		else
			r = walk_type(w, p[i].type, "", depth + 1);
	}
	return r;
}

/* The type behind qualifiers if it is a function, else 0: GCC marks noreturn as volatile. */
static uint32_t qualified_function(const struct btf *btf, uint32_t id)
{
	for (unsigned int n = 0; n < ABI_DEPTH_MAX; n++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (!t || !(btf_is_mod(t) || btf_is_typedef(t)))
			return t && btf_is_func_proto(t) ? id : 0;
		id = t->type;
	}
	return 0;
}

static int walk_qualifier(struct walk *w, uint32_t id, const struct btf_type *t, const char *alias,
			  unsigned int depth)
{
	uint32_t function = qualified_function(w->btf, id);

	if (function)
		return walk_type(w, function, "", depth + 1);
	feed_node(w, btf_is_const(t) ? 'c' : btf_is_volatile(t) ? 'w' : 'r', "", 0, 0);
	return walk_type(w, t->type, alias, depth + 1);
}

/* @alias: name of the typedef through which a type without a tag was reached, else "". */
static int walk_type(struct walk *w, uint32_t id, const char *alias, unsigned int depth)
{
	const struct btf_type *t = btf__type_by_id(w->btf, id);

	if (!t)
		return -EINVAL;
	if (depth > ABI_DEPTH_MAX)
		return -ELOOP;
	switch (btf_kind(t)) {
	case BTF_KIND_UNKN:
		feed_node(w, '0', "", 0, 0);
		return 0;
	case BTF_KIND_INT:
		feed_node(w, 'i', type_name(w->btf, t->name_off), t->size, btf_int_encoding(t));
		return 0;
	case BTF_KIND_FLOAT:
		feed_node(w, 'd', type_name(w->btf, t->name_off), t->size, 0);
		return 0;
	case BTF_KIND_PTR:
		feed_node(w, 'p', "", 0, 0);
		return walk_type(w, t->type, "", depth + 1);
	case BTF_KIND_ARRAY:
		feed_node(w, 'a', "", btf_array(t)->nelems, 0);
		return walk_type(w, btf_array(t)->type, "", depth + 1);
	case BTF_KIND_TYPEDEF:
		return walk_type(w, t->type, type_name(w->btf, t->name_off), depth + 1);
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
		return walk_qualifier(w, id, t, alias, depth);
	case BTF_KIND_FWD:
		feed_node(w, 'I', type_name(w->btf, t->name_off), btf_kflag(t), 0);
		return 0;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
		return walk_composite(w, id, t, alias, depth);
	case BTF_KIND_FUNC_PROTO:
		return walk_function(w, t, depth);
	default:
		return -EINVAL;
	}
}

int abi_type_hash(const struct btf *btf, uint32_t id, uint64_t *ret_hash)
{
	struct walk w = {.btf = btf};
	uint8_t digest[crypto_generichash_BYTES];
	uint64_t hash = 0;
	int r;

	(void)crypto_generichash_init(&w.hash, NULL, 0, sizeof(digest));
	r = walk_type(&w, id, "", 0);
	(void)crypto_generichash_final(&w.hash, digest, sizeof(digest));
	free(w.seen);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < 8; i++)
		hash |= (uint64_t)digest[i] << (8 * i);
	*ret_hash = hash ? hash : 1; /* 0 says "none" in a manifest */
	return 0;
}

uint32_t abi_type_strip(const struct btf *btf, uint32_t id)
{
	for (unsigned int n = 0; n < ABI_DEPTH_MAX; n++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (!t)
			return 0;
		if (!btf_is_mod(t) && !btf_is_typedef(t))
			return id;
		id = t->type;
	}
	return 0;
}

uint32_t abi_variable_type(const struct btf *btf, const char *name, bool pointee)
{
	for (uint32_t i = 1; i < btf__type_cnt(btf); i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);

		if (!btf_is_var(t) || strcmp(type_name(btf, t->name_off), name) != 0)
			continue;
		if (!pointee)
			return t->type;
		t = btf__type_by_id(btf, t->type);
		return t && btf_is_ptr(t) ? t->type : 0;
	}
	return 0;
}

/* Whether all of the type is integers and pointers. */
static bool integer_class(const struct btf *btf, uint32_t id, unsigned int depth)
{
	uint32_t bare = abi_type_strip(btf, id);
	const struct btf_type *t = btf__type_by_id(btf, bare);

	if (!bare || !t || depth > ABI_DEPTH_MAX)
		return false;
	if (btf_is_array(t))
		return integer_class(btf, btf_array(t)->type, depth + 1);
	if (!btf_is_composite(t))
		return btf_is_int(t) || btf_is_ptr(t) || btf_is_any_enum(t);
	for (uint32_t i = 0; i < btf_vlen(t); i++)
		if (!integer_class(btf, btf_members(t)[i].type, depth + 1))
			return false;
	return true;
}

struct search {
	const struct btf *btf;
	bool (*is_table)(const char *tag, void *arg);
	void *arg;
	struct buf *path;
};

static bool points_to_code(const struct search *s, const struct btf_type *pointer)
{
	const struct btf_type *to;

	to = btf__type_by_id(s->btf, abi_type_strip(s->btf, pointer->type));
	if (!to)
		return false;
	if (btf_is_func_proto(to))
		return true;
	return (btf_is_struct(to) || btf_is_fwd(to)) &&
	       s->is_table(type_name(s->btf, to->name_off), s->arg);
}

static int find_code(struct search *s, uint32_t id, unsigned int depth)
{
	const struct btf_type *t = btf__type_by_id(s->btf, abi_type_strip(s->btf, id));
	size_t length = s->path->len;

	if (!t || depth > ABI_DEPTH_MAX)
		return 0;
	if (btf_is_ptr(t))
		return points_to_code(s, t);
	if (btf_is_array(t))
		return find_code(s, btf_array(t)->type, depth + 1);
	for (uint32_t i = 0; btf_is_composite(t) && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = type_name(s->btf, m->name_off);

		buf_printf(s->path, "%s%s", length && *name ? "." : "", name);
		if (!buf_ok(s->path))
			return -ENOMEM;
		if (find_code(s, m->type, depth + 1))
			return 1;
		s->path->len = length;
	}
	return 0;
}

int abi_type_find_code(const struct btf *btf, uint32_t id,
		       bool (*is_table)(const char *tag, void *arg), void *arg,
		       struct buf *ret_path)
{
	struct search s = {btf, is_table, arg, ret_path};

	return find_code(&s, id, 0);
}

bool abi_type_restartable(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, qualified_function(btf, id));
	const struct btf_type *ret;
	int64_t words = 0;

	if (!t || !btf_is_func_proto(t))
		return false;
	ret = btf__type_by_id(btf, abi_type_strip(btf, t->type));
	if (!ret || !btf_is_int(ret) || ret->size > 8 || !(btf_int_encoding(ret) & BTF_INT_SIGNED))
		return false;
	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		uint32_t type = btf_params(t)[i].type;
		int64_t size = type ? btf__resolve_size(btf, type) : -1;

		if (size < 0 || size > 16 || !integer_class(btf, type, 0))
			return false;
		words += (size + 7) / 8;
	}
	return words <= 6;
}
