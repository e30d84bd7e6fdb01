/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_CTL_CELLS_H
#define THESEUS_CTL_CELLS_H

#include "client.h"

/*
 * The loaded cells, or only @name with its symbols (NULL = all). Result: exit status; the
 * response's body is the CellsReply.
 */
int cells_get(struct client *cl, const char *name, Theseus__Response **ret_response);

#endif
