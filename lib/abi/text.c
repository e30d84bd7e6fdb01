/* SPDX-License-Identifier: MIT */
/* Types as C text: declarators are written from the inside out. */
#include "types.h"

#include <errno.h>
#include <string.h>

#include <bpf/btf.h>

static int put_type(const struct btf *btf, uint32_t id, const char *inner, unsigned int depth,
		    struct buf *out);

static const char *name_of(const struct btf *btf, const struct btf_type *t)
{
	const char *name = t->name_off ? btf__name_by_offset(btf, t->name_off) : "";

	return name ? name : "";
}

/* "const struct foo" + " " + inner, without a space before nothing. */
static void put_named(struct buf *out, const char *keyword, const char *name, const char *inner)
{
	buf_printf(out, "%s%s%s%s", keyword, *name ? name : "{...}", *inner ? " " : "", inner);
}

static int put_pointer(const struct btf *btf, const struct btf_type *t, const char *qualifier,
		       const char *inner, unsigned int depth, struct buf *out)
{
	const struct btf_type *to = btf__type_by_id(btf, t->type);
	__attribute__((cleanup(buf_done))) struct buf b = {0};
	bool direct;

	if (!to)
		return -EINVAL;
	/* GCC marks a noreturn function as volatile: look behind that */
	if (btf_is_volatile(to) && btf__type_by_id(btf, to->type) &&
	    btf_is_func_proto(btf__type_by_id(btf, to->type)))
		to = btf__type_by_id(btf, to->type);
	direct = !btf_is_func_proto(to) && !btf_is_array(to);
	buf_printf(&b, "%s*%s%s%s%s", direct ? "" : "(", qualifier, *qualifier && *inner ? " " : "",
		   inner, direct ? "" : ")");
	if (!buf_ok(&b))
		return -ENOMEM;
	return put_type(btf, t->type, buf_str(&b), depth + 1, out);
}

static int put_qualified(const struct btf *btf, const struct btf_type *t, const char *inner,
			 unsigned int depth, struct buf *out)
{
	const char *word = btf_is_const(t) ? "const" : btf_is_volatile(t) ? "volatile" : "restrict";
	const struct btf_type *of = btf__type_by_id(btf, t->type);

	if (!of)
		return -EINVAL;
	if (btf_is_ptr(of)) /* the qualifier of a pointer stands behind its star */
		return put_pointer(btf, of, word, inner, depth + 1, out);
	if (!btf_is_func_proto(of))
		buf_printf(out, "%s ", word);
	return put_type(btf, t->type, inner, depth + 1, out);
}

static int put_function(const struct btf *btf, const struct btf_type *t, const char *inner,
			unsigned int depth, struct buf *out)
{
	__attribute__((cleanup(buf_done))) struct buf b = {0};
	int r = 0;

	buf_printf(&b, "%s(%s", inner, btf_vlen(t) ? "" : "void");
	for (uint32_t i = 0; r == 0 && i < btf_vlen(t); i++) {
		uint32_t type = btf_params(t)[i].type;

		buf_puts(&b, i ? ", " : "");
		if (i + 1 == btf_vlen(t) && type == 0)
			buf_puts(&b, "...");
		else
			r = put_type(btf, type, "", depth + 1, &b);
	}
	buf_puts(&b, ")");
	if (r < 0)
		return r;
	return buf_ok(&b) ? put_type(btf, t->type, buf_str(&b), depth + 1, out) : -ENOMEM;
}

static int put_array(const struct btf *btf, const struct btf_type *t, const char *inner,
		     unsigned int depth, struct buf *out)
{
	__attribute__((cleanup(buf_done))) struct buf b = {0};

	buf_printf(&b, "%s[%u]", inner, btf_array(t)->nelems);
	if (!buf_ok(&b))
		return -ENOMEM;
	return put_type(btf, btf_array(t)->type, buf_str(&b), depth + 1, out);
}

/* @inner: the declarator around which the type is written, "" for none. */
static int put_type(const struct btf *btf, uint32_t id, const char *inner, unsigned int depth,
		    struct buf *out)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (!t)
		return -EINVAL;
	if (depth > ABI_DEPTH_MAX || strlen(inner) > 4096)
		return -ELOOP;
	switch (btf_kind(t)) {
	case BTF_KIND_UNKN:
		put_named(out, "", "void", inner);
		return 0;
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPEDEF:
		put_named(out, "", name_of(btf, t), inner);
		return 0;
	case BTF_KIND_STRUCT:
		put_named(out, "struct ", name_of(btf, t), inner);
		return 0;
	case BTF_KIND_UNION:
		put_named(out, "union ", name_of(btf, t), inner);
		return 0;
	case BTF_KIND_FWD:
		put_named(out, btf_kflag(t) ? "union " : "struct ", name_of(btf, t), inner);
		return 0;
	case BTF_KIND_ENUM:
		put_named(out, "enum ", name_of(btf, t), inner);
		return 0;
	case BTF_KIND_PTR:
		return put_pointer(btf, t, "", inner, depth, out);
	case BTF_KIND_ARRAY:
		return put_array(btf, t, inner, depth, out);
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
		return put_qualified(btf, t, inner, depth, out);
	case BTF_KIND_FUNC_PROTO:
		return put_function(btf, t, inner, depth, out);
	default:
		return -EINVAL;
	}
}

int abi_type_text(const struct btf *btf, uint32_t id, struct buf *out)
{
	int r = put_type(btf, id, "", 0, out);

	if (r < 0)
		return r;
	return buf_ok(out) ? 0 : -ENOMEM;
}

int abi_type_text_full(const struct btf *btf, uint32_t id, size_t max, struct buf *out)
{
	const struct btf_type *t = btf__type_by_id(btf, abi_type_strip(btf, id));
	size_t start = out->len;
	int r = abi_type_text(btf, id, out);

	if (r < 0 || !t || !btf_is_composite(t))
		return r;
	buf_puts(out, " {");
	for (uint32_t i = 0; i < btf_vlen(t) && r == 0; i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = m->name_off ? btf__name_by_offset(btf, m->name_off) : "";

		if (out->len - start > max) {
			buf_puts(out, " ...");
			break;
		}
		buf_puts(out, " ");
		r = put_type(btf, m->type, name ? name : "", 0, out);
		if (btf_member_bitfield_size(t, i))
			buf_printf(out, " : %u", btf_member_bitfield_size(t, i));
		buf_puts(out, ";");
	}
	buf_puts(out, " }");
	if (r < 0)
		return r;
	return buf_ok(out) ? 0 : -ENOMEM;
}
