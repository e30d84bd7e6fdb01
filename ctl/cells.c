/* SPDX-License-Identifier: MIT */
/* cells, cell show, cell deps */
#include "cells.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "render.h"
#include "util.h"

#define DOT_CELLS_MAX 1024

int cells_get(struct client *cl, const char *name, Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellsGet get;

	theseus__cells_get__init(&get);
	get.name = (char *)(uintptr_t)(name ? name : "");
	req.body_case = THESEUS__REQUEST__BODY_CELLS;
	req.cells = &get;
	return client_call(cl, &req, 0, THESEUS__RESPONSE__BODY_CELLS, ret_response);
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

static int deps_get(struct client *cl, const char *name, bool reverse,
		    Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellDeps get;

	theseus__cell_deps__init(&get);
	get.name = (char *)(uintptr_t)name;
	get.reverse = reverse;
	req.body_case = THESEUS__REQUEST__BODY_CELL_DEPS;
	req.cell_deps = &get;
	return client_call(cl, &req, 0, THESEUS__RESPONSE__BODY_CELL_DEPS, ret_response);
}

/* The cells of a graph in the order in which they were reached; each is asked for once. */
struct graph {
	char *names[DOT_CELLS_MAX];
	size_t n;
};

static void graph_add(struct graph *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->names[i], name))
			return;
	if (g->n == DOT_CELLS_MAX)
		return;
	g->names[g->n] = strdup(name);
	if (g->names[g->n])
		g->n++;
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
	struct graph g = {0};
	int r = 0;

	graph_add(&g, name);
	for (size_t i = 0; i < g.n && !r; i++) {
		CLEANUP_RESPONSE Theseus__Response *response = NULL;

		r = deps_get(cl, g.names[i], reverse, &response);
		if (r)
			break;
		if (i == 0)
			puts("digraph cells {\n\trankdir=LR;");
		put_edges(response->cell_deps);
		for (size_t k = 0; k < response->cell_deps->n_deps; k++)
			graph_add(&g, response->cell_deps->deps[k]->cell);
	}
	if (!r)
		puts("}");
	for (size_t i = 0; i < g.n; i++)
		free(g.names[i]);
	return r;
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
