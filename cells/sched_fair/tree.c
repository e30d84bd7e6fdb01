/* SPDX-License-Identifier: MIT */
#include "tree.h"

/* Links are slot + 1, 0 = none. */
static struct fair_slot *at(struct fair *f, uint32_t link)
{
	return fair_slot_of(f, link - 1);
}

static bool before(const struct fair_slot *a, const struct fair_slot *b)
{
	if (a->deadline != b->deadline)
		return a->deadline < b->deadline;
	return a->order < b->order;
}

static void summarise(struct fair *f, struct fair_slot *s)
{
	const uint32_t below[2] = {s->left, s->right};

	s->low_v = s->v;
	s->reach = s->affinity;
	for (unsigned i = 0; i < 2; i++) {
		const struct fair_slot *child = below[i] ? at(f, below[i]) : NULL;

		if (!child)
			continue;
		if (child->low_v < s->low_v)
			s->low_v = child->low_v;
		s->reach |= child->reach;
	}
}

static void summarise_up(struct fair *f, uint32_t link)
{
	for (; link; link = at(f, link)->parent)
		summarise(f, at(f, link));
}

/* Puts @to where @from is below @parent (0: at the root). */
static void replace(struct fair *f, uint32_t *root, uint32_t parent, uint32_t from, uint32_t to)
{
	if (!parent)
		*root = to;
	else if (at(f, parent)->left == from)
		at(f, parent)->left = to;
	else
		at(f, parent)->right = to;
	if (to)
		at(f, to)->parent = parent;
}

/* @link goes up by one: its parent becomes its child. */
static void rotate_up(struct fair *f, uint32_t *root, uint32_t link)
{
	struct fair_slot *s = at(f, link);
	uint32_t parent = s->parent, moved;
	struct fair_slot *p = at(f, parent);

	replace(f, root, p->parent, parent, link);
	if (p->left == link) {
		moved = s->right;
		p->left = moved;
		s->right = parent;
	} else {
		moved = s->left;
		p->right = moved;
		s->left = parent;
	}
	if (moved)
		at(f, moved)->parent = parent;
	p->parent = link;
	summarise(f, p);
	summarise(f, s);
}

void tree_insert(struct fair *f, uint32_t *root, uint32_t slot)
{
	uint32_t link = slot + 1, parent = 0;
	struct fair_slot *s = at(f, link);

	f->random = f->random * 1664525u + 1013904223u;
	s->rank = f->random >> 8;
	s->left = 0;
	s->right = 0;
	s->parent = 0;
	for (uint32_t here = *root; here;) {
		parent = here;
		here = before(s, at(f, here)) ? at(f, here)->left : at(f, here)->right;
	}
	if (!parent)
		*root = link;
	else if (before(s, at(f, parent)))
		at(f, parent)->left = link;
	else
		at(f, parent)->right = link;
	s->parent = parent;
	summarise(f, s);
	while (s->parent && at(f, s->parent)->rank < s->rank)
		rotate_up(f, root, link);
	summarise_up(f, s->parent);
}

void tree_remove(struct fair *f, uint32_t *root, uint32_t slot)
{
	uint32_t link = slot + 1, up;
	struct fair_slot *s = at(f, link);

	while (s->left && s->right) {
		up = at(f, s->left)->rank > at(f, s->right)->rank ? s->left : s->right;
		rotate_up(f, root, up);
	}
	replace(f, root, s->parent, link, s->left ? s->left : s->right);
	summarise_up(f, s->parent);
}

int tree_first_eligible(struct fair *f, uint32_t root, int64_t limit)
{
	uint32_t link = root;

	if (!link || at(f, link)->low_v > limit)
		return -ENOENT;
	for (;;) {
		struct fair_slot *s = at(f, link);

		if (s->left && at(f, s->left)->low_v <= limit)
			link = s->left;
		else if (s->v <= limit)
			return (int)link - 1;
		else
			link = s->right;
	}
}

int tree_first_for(struct fair *f, uint32_t root, unsigned cpu)
{
	uint32_t link = root;

	if (!link || !(at(f, link)->reach >> cpu & 1))
		return -ENOENT;
	for (;;) {
		struct fair_slot *s = at(f, link);

		if (s->left && at(f, s->left)->reach >> cpu & 1)
			link = s->left;
		else if (s->affinity >> cpu & 1)
			return (int)link - 1;
		else
			link = s->right;
	}
}
