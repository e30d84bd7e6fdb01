/* SPDX-License-Identifier: MIT */
/* What `bench` prints. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "render.h"
#include "table.h"
#include "util.h"

#define PS_PER_NS 1000.0

static const char *const side_names[] = {
	[BENCH_GUEST] = "guest",
	[BENCH_LINUX] = "linux",
	[BENCH_MIMALLOC] = "linux, mimalloc",
};

/* Of a row: what it compares, as far as both could be measured. */
struct pair {
	const struct bench_measure *guest, *against; /* NULL: not measured, or nothing */
	struct bench_figures g, a;
	double ratio; /* 0 = none */
};

static struct pair pair_of(const struct bench_view *view, const struct bench_row *row)
{
	struct pair p = {bench_find(view, &row->guest, row->config),
			 bench_find(view, &row->against, bench_against_config(row))};

	if (p.guest && !p.guest->n)
		p.guest = NULL;
	if (p.against && !p.against->n)
		p.against = NULL;
	if (p.guest)
		p.g = bench_summary(p.guest);
	if (p.against)
		p.a = bench_summary(p.against);
	if (p.guest && p.against)
		p.ratio = bench_ratio(&p.g, &p.a);
	return p;
}

/* ---- for people ---- */

static void figure(struct table *t, const struct bench_figures *f, uint64_t ps)
{
	char text[FORMAT_MAX];

	if (f->is_bytes)
		table_add(t, "%s", format_bytes(f->bytes, text));
	else if (ps < 1000000)
		table_add(t, "%.1f ns", (double)ps / PS_PER_NS);
	else
		table_add(t, "%s", format_ns(ps / 1000, text));
}

static void row_text(struct table *t, const struct bench_row *row, const struct pair *p)
{
	table_add(t, "%s %llu", row->guest.name, (unsigned long long)row->guest.param);
	table_add(t, "%s", row->config);
	figure(t, &p->g, p->g.median_ps);
	figure(t, &p->g, p->g.p99_ps);
	if (p->against) {
		const char *config = row->against_config ? row->against_config : "";

		table_add(t, "%s%s %llu%s%s",
			  row->against.side == BENCH_MIMALLOC ? "mimalloc " : "", row->against.name,
			  (unsigned long long)row->against.param, *config ? ", " : "", config);
		figure(t, &p->a, p->a.median_ps);
		figure(t, &p->a, p->a.p99_ps);
		table_add(t, "%.3g", p->ratio);
	} else {
		for (int i = 0; i < 4; i++)
			table_add(t, "%s", "");
	}
	if (row->target > 0 && p->ratio > 0)
		table_add(t, "%s %.3g", p->ratio <= row->target ? "<=" : "missed", row->target);
	else
		table_add(t, "%s", "");
}

void text_bench(const struct ctl *c, const struct bench_view *view)
{
	static const char *const headers[] = {"GUEST",   "CONFIG", ">MEDIAN", ">P99",  "AGAINST",
					      ">MEDIAN", ">P99",   ">RATIO",  "TARGET"};
	struct table t;

	(void)c;
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < view->n_rows; i++) {
		struct pair p = pair_of(view, view->rows[i]);

		if (p.guest)
			row_text(&t, view->rows[i], &p);
	}
	table_print(&t);
	printf("\n%s, %llu CPUs, %llu rounds\n", view->accel, (unsigned long long)view->cpus,
	       (unsigned long long)view->rounds);
}

/* ---- for programs ---- */

static json_object *number(double value)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%.6g", value);
	return json_object_new_double_s(value, text);
}

static json_object *ns(uint64_t ps)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%llu.%03llu", (unsigned long long)(ps / 1000),
		       (unsigned long long)(ps % 1000));
	return json_object_new_double_s((double)ps / PS_PER_NS, text);
}

static void add_figures(json_object *o, const char *who, const struct bench_figures *f)
{
	char key[40];

	if (f->is_bytes) {
		(void)snprintf(key, sizeof(key), "%s_bytes", who);
		json_object_object_add(o, key, json_object_new_uint64(f->bytes));
		return;
	}
	(void)snprintf(key, sizeof(key), "%s_ns", who);
	json_object_object_add(o, key, ns(f->median_ps));
	(void)snprintf(key, sizeof(key), "%s_p99_ns", who);
	json_object_object_add(o, key, ns(f->p99_ps));
}

/* The rounds behind a figure: [[median, p99], …] in ns, or sizes. */
static json_object *rounds_of(const struct bench_measure *m)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->n; i++) {
		const struct bench_figures *f = &m->rounds[i];
		json_object *two =
			f->is_bytes ? json_object_new_uint64(f->bytes) : json_object_new_array();

		if (!f->is_bytes) {
			json_object_array_add(two, ns(f->median_ps));
			json_object_array_add(two, ns(f->p99_ps));
		}
		json_object_array_add(list, two);
	}
	return list;
}

static json_object *row_json(const struct bench_row *row, const struct pair *p)
{
	json_object *o = json_object_new_object();
	const char *who = row->against.side == BENCH_GUEST ? "base" : "linux";

	json_object_object_add(o, "family", json_object_new_string(row->family));
	json_object_object_add(o, "name", json_object_new_string(row->guest.name));
	json_object_object_add(o, "param", json_object_new_uint64(row->guest.param));
	json_object_object_add(o, "config", json_object_new_string(row->config));
	add_figures(o, "guest", &p->g);
	json_object_object_add(o, "guest_rounds", rounds_of(p->guest));
	if (p->against) {
		json_object_object_add(o, "against", json_object_new_string(row->against.name));
		json_object_object_add(o, "against_param",
				       json_object_new_uint64(row->against.param));
		json_object_object_add(o, "against_config",
				       json_object_new_string(bench_against_config(row)));
		json_object_object_add(o, "against_side",
				       json_object_new_string(side_names[row->against.side]));
		add_figures(o, who, &p->a);
		json_object_object_add(o, "against_rounds", rounds_of(p->against));
		json_object_object_add(o, "ratio", number(p->ratio));
	}
	if (row->target > 0)
		json_object_object_add(o, "target", number(row->target));
	json_object_object_add(o, "what", json_object_new_string(row->what));
	return o;
}

static json_object *absent_json(const struct bench_measure *m)
{
	CLEANUP_FREE char *why = clean_text(m->why, strlen(m->why), false);
	json_object *o = json_object_new_object();

	json_object_object_add(o, "side", json_object_new_string(side_names[m->op.side]));
	json_object_object_add(o, "name", json_object_new_string(m->op.name));
	json_object_object_add(o, "param", json_object_new_uint64(m->op.param));
	json_object_object_add(o, "config", json_object_new_string(m->config));
	json_object_object_add(o, "why", json_object_new_string(why ? why : ""));
	return o;
}

void json_bench(const struct ctl *c, const struct bench_view *view)
{
	json_object *o = json_object_new_object(), *rows = json_object_new_array(),
		    *absent = json_object_new_array();

	(void)c;
	json_object_object_add(o, "schema", json_object_new_string("theseus.bench/1"));
	json_object_object_add(o, "accel", json_object_new_string(view->accel));
	json_object_object_add(o, "cpus", json_object_new_uint64(view->cpus));
	json_object_object_add(o, "rounds", json_object_new_uint64(view->rounds));
	for (size_t i = 0; i < view->n_rows; i++) {
		struct pair p = pair_of(view, view->rows[i]);

		if (p.guest)
			json_object_array_add(rows, row_json(view->rows[i], &p));
	}
	for (size_t i = 0; i < view->n_measures; i++)
		if (*view->measures[i].why)
			json_object_array_add(absent, absent_json(&view->measures[i]));
	json_object_object_add(o, "rows", rows);
	json_object_object_add(o, "absent", absent);
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
