/* SPDX-License-Identifier: MIT */
/* symbols: where gdb finds what is loaded now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cells.h"
#include "commands.h"
#include "render.h"
#include "target.h"
#include "util.h"

/*
 * The .debug file of build id @id in the layout of gdb's debug-file-directory, under
 * $THESEUS_DEBUG_DIR or the installed folder. malloc()ed; NULL when there is none.
 */
static char *find_debug_file(ProtobufCBinaryData id)
{
	const char *dir = getenv("THESEUS_DEBUG_DIR");
	CLEANUP_FREE char *hex_id = hex(id.data, id.len);
	char *path = NULL;

	if (!hex_id || id.len < 2 || id.len > 64)
		return NULL;
	if (!dir || !*dir)
		dir = THESEUS_DATADIR "/debug";
	if (asprintf(&path, "%s/.build-id/%.2s/%s.debug", dir, hex_id, hex_id + 2) < 0)
		return NULL;
	if (!access(path, R_OK))
		return path;
	free(path);
	return NULL;
}

int cmd_symbols(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct symbols_view *views;
	struct target target;
	size_t n;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r)
		r = cells_get(cl, NULL, &response);
	if (r)
		return r;
	n = response->cells->n_cells;
	views = calloc(n + 1, sizeof(*views));
	if (!views)
		return ctl_oom(c);
	for (size_t i = 0; i < n; i++) {
		views[i].cell = response->cells->cells[i];
		views[i].file = find_debug_file(views[i].cell->build_id);
	}
	(c->json ? json_symbols : text_symbols)(c, views, n);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)views[i].file);
	free(views);
	return 0;
}
