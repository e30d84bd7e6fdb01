/* SPDX-License-Identifier: MIT */
/* A cell's safety class against what is in its sources. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/cell.h>

#include "internal.h"

/* Every place that the report names, so that one build shows all there is to change. */
static int refuse_operations(struct pack *p)
{
	const struct safety *s = p->in->safety;
	uint64_t more = safety_operations(s) - s->n_places;
	int r = 0;

	for (size_t i = 0; i < s->n_places; i++)
		r = reasons_add(p->reasons, "unsafe-operation",
				"%s: %s: an unsafe operation in a cell that is CELL_SAFE",
				s->places[i].where, unsafe_kind_name(s->places[i].kind));
	if (more)
		r = reasons_add(p->reasons, "unsafe-operation",
				"%s: CELL_SAFE, with %llu more unsafe operations", p->files[0].path,
				(unsigned long long)more);
	return r;
}

static int add_counts(Theseus__SafetyReport *report, const struct safety *s)
{
	report->counts = calloc(_UNSAFE_KIND_MAX, sizeof(*report->counts));
	if (!report->counts)
		return -ENOMEM;
	for (int i = 0; i < _UNSAFE_KIND_MAX; i++) {
		Theseus__UnsafeCount *c;

		if (!s->counts[i])
			continue;
		c = malloc(sizeof(*c));
		if (!c)
			return -ENOMEM;
		theseus__unsafe_count__init(c);
		report->counts[report->n_counts++] = c;
		c->operations = s->counts[i];
		c->kind = strdup(unsafe_kind_name((enum unsafe_kind)i));
		if (!c->kind)
			return -ENOMEM;
	}
	return 0;
}

static int add_places(Theseus__SafetyReport *report, const struct safety *s)
{
	report->places = calloc(SAFETY_PLACES_MAX, sizeof(*report->places));
	if (!report->places)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_places; i++) {
		Theseus__UnsafePlace *place = malloc(sizeof(*place));

		if (!place)
			return -ENOMEM;
		theseus__unsafe_place__init(place);
		report->places[report->n_places++] = place;
		place->kind = strdup(unsafe_kind_name(s->places[i].kind));
		place->where = strdup(s->places[i].where);
		if (!place->kind || !place->where)
			return -ENOMEM;
	}
	return 0;
}

static int add_report(Theseus__Cell *cell, const struct safety *s)
{
	int r;

	cell->report = malloc(sizeof(*cell->report));
	if (!cell->report)
		return -ENOMEM;
	theseus__safety_report__init(cell->report);
	cell->report->code_lines = s->code_lines;
	cell->report->unsafe_lines = s->unsafe_lines;
	r = add_counts(cell->report, s);
	return r == 0 ? add_places(cell->report, s) : r;
}

int pack_safety(struct pack *p, const struct cell_info *info)
{
	const struct safety *s = p->in->safety;
	int r = 0;

	if (info->safety == CELL_SAFE && *info->unsafe_reason)
		return reasons_add(p->reasons, "bad-info",
				   "%s: CELL_INFO: .unsafe_reason in a cell that is CELL_SAFE",
				   p->files[0].path);
	if (info->safety == CELL_UNSAFE && !*info->unsafe_reason)
		return reasons_add(p->reasons, "no-reason",
				   "%s: CELL_INFO: a cell that is CELL_UNSAFE says why: "
				   ".unsafe_reason is missing",
				   p->files[0].path);
	if (s && info->safety == CELL_SAFE && safety_operations(s))
		return refuse_operations(p);
	if (s)
		r = add_report(p->cell, s);
	return r;
}
