/* SPDX-License-Identifier: MIT */
/* cells, cell show, cell deps */
#include "cells.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "render.h"
#include "util.h"

#define ANSWERS_MAX 1024 /* that a guest may give to one question: each holds some of the rows */
#define AGAIN_MAX 16     /* swaps that may come between them */

/* ---- answers that come in parts ---- */

struct parts {
	Theseus__Response__BodyCase body;
	uint32_t (*next)(const Theseus__Response *part);
	uint64_t (*generation)(const Theseus__Response *part);
	/* Moves the rows of @part behind those of @all. Result: 0, -ENOMEM. */
	int (*join)(Theseus__Response *all, Theseus__Response *part);
};

/* Moves the @n rows at @from; whoever frees the messages frees each row once. */
static int move_rows(void *from, size_t *n, size_t bytes, void **to, size_t *n_to)
{
	char *rows;

	if (*n == 0)
		return 0;
	rows = reallocarray(*to, *n_to + *n, bytes);
	if (!rows)
		return -ENOMEM;
	memcpy(rows + *n_to * bytes, from, *n * bytes);
	*to = rows;
	*n_to += *n;
	*n = 0;
	return 0;
}

/* What is listed before and after a swap does not fit together: -EAGAIN. */
static int get_once(struct client *cl, const Theseus__Request *req, uint32_t *from,
		    const struct parts *how, Theseus__Response **ret_response)
{
	CLEANUP_RESPONSE Theseus__Response *all = NULL;
	int r = 0;

	*from = 0;
	for (unsigned i = 0; i < ANSWERS_MAX; i++) {
		CLEANUP_RESPONSE Theseus__Response *part = NULL;
		uint32_t next;

		r = client_call(cl, req, 0, how->body, &part);
		if (r)
			return r;
		next = how->next(part);
		if (all && how->generation(all) != how->generation(part))
			return -EAGAIN;
		if (all && how->join(all, part) < 0)
			return client_fail(cl, -ENOMEM, 0);
		if (!all) {
			all = part;
			part = NULL;
		}
		if (!next) {
			*ret_response = all;
			all = NULL;
			return 0;
		}
		if (next <= *from)
			break;
		*from = next;
	}
	return client_fail(cl, -EPROTO, 0); /* it does not come to an end */
}

static int get_all(struct client *cl, const Theseus__Request *req, uint32_t *from,
		   const struct parts *how, Theseus__Response **ret_response)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < AGAIN_MAX && r == -EAGAIN; i++)
		r = get_once(cl, req, from, how, ret_response);
	if (r == -EAGAIN)
		return ctl_error(cl->ctl, CTL_FAILED, "changing",
				 "cells are swapped faster than they can be listed");
	return r;
}

/* ---- cells ---- */

static uint32_t cells_next(const Theseus__Response *part)
{
	return part->cells->next;
}

static uint64_t cells_generation(const Theseus__Response *part)
{
	return part->cells->generation;
}

static int cells_join(Theseus__Response *all, Theseus__Response *part)
{
	Theseus__CellsReply *to = all->cells, *from = part->cells;
	void *cells = to->cells, *quarantined = to->quarantined;
	int r = move_rows(from->cells, &from->n_cells, sizeof(*from->cells), &cells, &to->n_cells);

	if (!r)
		r = move_rows(from->quarantined, &from->n_quarantined, sizeof(*from->quarantined),
			      &quarantined, &to->n_quarantined);
	to->cells = cells;
	to->quarantined = quarantined;
	return r;
}

int cells_get(struct client *cl, const char *name, Theseus__Response **ret_response)
{
	static const struct parts how = {THESEUS__RESPONSE__BODY_CELLS, cells_next,
					 cells_generation, cells_join};
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellsGet get;

	theseus__cells_get__init(&get);
	get.name = (char *)(uintptr_t)(name ? name : "");
	req.body_case = THESEUS__REQUEST__BODY_CELLS;
	req.cells = &get;
	return get_all(cl, &req, &get.from, &how, ret_response);
}

static int open_reading(struct ctl *c, struct target *target, struct client **ret_client)
{
	int r = target_resolve(c, TARGET_READS, target);

	return r ? r : client_open(c, target, ret_client);
}

int cmd_cells(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct target target;
	int r = open_reading(c, &target, &cl);

	(void)argc;
	(void)argv;
	if (!r)
		r = cells_get(cl, NULL, &response);
	if (!r)
		(c->json ? json_cells : text_cells)(c, response->cells);
	return r;
}

static int no_such_cell(struct ctl *c, const char *name)
{
	return ctl_error(c, CTL_FAILED, "no-such-cell",
			 "no cell \"%.80s\" is loaded (\"theseusctl cells\" lists them)", name);
}

int cmd_cell_show(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct target target;
	int r = open_reading(c, &target, &cl);

	(void)argc;
	if (!r)
		r = cells_get(cl, argv[1], &response);
	if (r)
		return r;
	if (response->cells->n_cells != 1)
		return no_such_cell(c, argv[1]);
	(c->json ? json_cell : text_cell)(c, response->cells->cells[0]);
	return 0;
}

/* ---- dependencies ---- */

static uint32_t deps_next(const Theseus__Response *part)
{
	return part->cell_deps->next;
}

static uint64_t deps_generation(const Theseus__Response *part)
{
	return part->cell_deps->generation;
}

static int deps_join(Theseus__Response *all, Theseus__Response *part)
{
	Theseus__CellDepsReply *to = all->cell_deps, *from = part->cell_deps;
	void *deps = to->deps;
	int r = move_rows(from->deps, &from->n_deps, sizeof(*from->deps), &deps, &to->n_deps);

	to->deps = deps;
	return r;
}

static int deps_get(struct client *cl, const char *name, bool reverse,
		    Theseus__Response **ret_response)
{
	static const struct parts how = {THESEUS__RESPONSE__BODY_CELL_DEPS, deps_next,
					 deps_generation, deps_join};
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellDeps get;

	theseus__cell_deps__init(&get);
	get.name = (char *)(uintptr_t)name;
	get.reverse = reverse;
	req.body_case = THESEUS__REQUEST__BODY_CELL_DEPS;
	req.cell_deps = &get;
	return get_all(cl, &req, &get.from, &how, ret_response);
}

/* The cells of a graph in the order in which they were reached; each is asked for once. */
struct graph {
	char **names;
	size_t n, max;
	void *seen; /* tsearch() of them */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Result: 0, -ENOMEM. */
static int graph_add(struct graph *g, const char *name)
{
	char *copy;

	if (tfind(name, &g->seen, compare_names))
		return 0;
	if (g->n == g->max) {
		size_t max = g->max ? 2 * g->max : 64;
		char **names = reallocarray(g->names, max, sizeof(*names));

		if (!names)
			return -ENOMEM;
		g->names = names;
		g->max = max;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	g->names[g->n++] = copy;
	return tsearch(copy, &g->seen, compare_names) ? 0 : -ENOMEM;
}

static void graph_done(struct graph *g)
{
	for (size_t i = 0; i < g->n; i++) {
		(void)tdelete(g->names[i], &g->seen, compare_names);
		free(g->names[i]);
	}
	free(g->names);
}

/* A Graphviz identifier of a name that a guest made up. */
static void put_quoted(const char *s)
{
	CLEANUP_FREE char *clean = clean_text(s, strlen(s), false);

	(void)putchar('"');
	for (const char *p = clean; p && *p; p++) {
		if (*p == '"' || *p == '\\')
			(void)putchar('\\');
		(void)putchar(*p);
	}
	(void)putchar('"');
}

static void put_edges(const Theseus__CellDepsReply *reply)
{
	for (size_t i = 0; i < reply->n_deps; i++) {
		const Theseus__Dep *dep = reply->deps[i];
		const char *from = reply->reverse ? dep->cell : reply->name;
		const char *to = reply->reverse ? reply->name : dep->cell;

		(void)putchar('\t');
		put_quoted(from);
		printf(" -> ");
		put_quoted(to);
		if (!strcmp(dep->via, "link"))
			printf(" [label=\"%zu\"];\n", dep->n_symbols);
		else {
			printf(" [style=dashed, label=");
			put_quoted(dep->via);
			printf("];\n");
		}
	}
}

static int print_dot(struct client *cl, const char *name, bool reverse)
{
	__attribute__((cleanup(graph_done))) struct graph g = {0};
	int r = graph_add(&g, name);

	for (size_t i = 0; i < g.n && !r; i++) {
		CLEANUP_RESPONSE Theseus__Response *response = NULL;

		r = deps_get(cl, g.names[i], reverse, &response);
		if (r)
			return r;
		if (i == 0)
			puts("digraph cells {\n\trankdir=LR;");
		put_edges(response->cell_deps);
		for (size_t k = 0; k < response->cell_deps->n_deps && !r; k++)
			r = graph_add(&g, response->cell_deps->deps[k]->cell);
	}
	if (r)
		return ctl_oom(cl->ctl);
	puts("}");
	return 0;
}

int cmd_cell_deps(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	bool reverse = ctl_option(c, "reverse") != NULL;
	struct target target;
	int r;

	(void)argc;
	if (c->json && ctl_option(c, "dot"))
		return ctl_error(c, CTL_USAGE, "usage", "--dot and --json are two forms: give one");
	r = open_reading(c, &target, &cl);
	if (r)
		return r;
	if (ctl_option(c, "dot"))
		return print_dot(cl, argv[1], reverse);
	r = deps_get(cl, argv[1], reverse, &response);
	if (!r)
		(c->json ? json_deps : text_deps)(c, response->cell_deps);
	return r;
}
