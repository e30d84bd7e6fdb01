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

/* True: it has changed. */
static bool summarise(struct fair *f, struct fair_slot *s)
{
	int64_t low_v = s->v;
	uint64_t reach = s->affinity;
	const struct fair_slot *child;
	bool changed;

	if (s->left) {
		child = at(f, s->left);
		low_v = child->low_v < low_v ? child->low_v : low_v;
		reach |= child->reach;
	}
	if (s->right) {
		child = at(f, s->right);
		low_v = child->low_v < low_v ? child->low_v : low_v;
		reach |= child->reach;
	}
	changed = low_v != s->low_v || reach != s->reach;
	s->low_v = low_v;
	s->reach = reach;
	return changed;
}

/* What is below @link has changed: up to where that makes no difference. */
static void summarise_up(struct fair *f, uint32_t link)
{
	while (link && summarise(f, at(f, link)))
		link = at(f, link)->parent;
}

/* Puts @to where @from is below @parent (0: at the root). */
static void replace(struct fair *f, struct fair_tree *t, uint32_t parent, uint32_t from, uint32_t to)
{
	if (!parent)
		t->root = to;
	else if (at(f, parent)->left == from)
		at(f, parent)->left = to;
	else
		at(f, parent)->right = to;
	if (to)
		at(f, to)->parent = parent;
}

/* @link goes up by one: its parent becomes its child. */
static void rotate_up(struct fair *f, struct fair_tree *t, uint32_t link)
{
	struct fair_slot *s = at(f, link);
	uint32_t parent = s->parent, moved;
	struct fair_slot *p = at(f, parent);

	replace(f, t, p->parent, parent, link);
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
	(void)summarise(f, p);
	(void)summarise(f, s);
}

/* Where a search for the place of @s ends: the parent that it gets. 0: the tree is empty. */
static uint32_t parent_of(struct fair *f, const struct fair_tree *t, const struct fair_slot *s)
{
	uint32_t parent = t->last;

	if (!parent || !before(s, at(f, parent)))
		return parent;
	for (uint32_t here = t->root; here;) {
		parent = here;
		here = before(s, at(f, here)) ? at(f, here)->left : at(f, here)->right;
	}
	return parent;
}

void tree_insert(struct fair *f, struct fair_tree *t, uint32_t slot)
{
	uint32_t link = slot + 1;
	struct fair_slot *s = at(f, link);

	f->random = f->random * 1664525u + 1013904223u;
	s->rank = f->random >> 8;
	s->left = 0;
	s->right = 0;
	s->low_v = s->v;
	s->reach = s->affinity;
	s->parent = parent_of(f, t, s);
	if (!s->parent)
		t->root = link;
	else if (before(s, at(f, s->parent)))
		at(f, s->parent)->left = link;
	else
		at(f, s->parent)->right = link;
	if (!t->last || (s->parent == t->last && at(f, t->last)->right == link))
		t->last = link;
	if (!t->first || (s->parent == t->first && at(f, t->first)->left == link))
		t->first = link;
	while (s->parent && at(f, s->parent)->rank < s->rank)
		rotate_up(f, t, link);
	summarise_up(f, s->parent);
}

/* The one beside @link, an end of the tree, which has nothing on the outer side. */
static uint32_t inner(struct fair *f, uint32_t link, bool first)
{
	const struct fair_slot *s = at(f, link);
	uint32_t next = first ? s->right : s->left, found = s->parent;

	for (; next; next = first ? at(f, next)->left : at(f, next)->right)
		found = next;
	return found;
}

void tree_remove(struct fair *f, struct fair_tree *t, uint32_t slot)
{
	uint32_t link = slot + 1, up;
	struct fair_slot *s = at(f, link);

	if (t->first == link)
		t->first = inner(f, link, true);
	if (t->last == link)
		t->last = inner(f, link, false);
	while (s->left && s->right) {
		up = at(f, s->left)->rank > at(f, s->right)->rank ? s->left : s->right;
		rotate_up(f, t, up);
	}
	replace(f, t, s->parent, link, s->left ? s->left : s->right);
	summarise_up(f, s->parent);
}

int tree_first_eligible(struct fair *f, const struct fair_tree *t, int64_t limit)
{
	uint32_t link = t->root;

	if (!link)
		return -ENOENT;
	if (at(f, t->first)->v <= limit)
		return (int)t->first - 1;
	if (at(f, link)->low_v > limit)
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

int tree_first_for(struct fair *f, const struct fair_tree *t, unsigned cpu)
{
	uint32_t link = t->root;

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
