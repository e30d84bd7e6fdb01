/* SPDX-License-Identifier: MIT */
/* What the commands about bundles on this host share: cell-build.c, cell-inspect.c. */
#ifndef THESEUS_CTL_CELL_FILES_H
#define THESEUS_CTL_CELL_FILES_H

#include "base/reasons.h"
#include "ctl.h"

/*
 * The error for a negative result @error of lib/bundle or lib/pack, with its reasons. @what
 * is the message when there are several. Result: exit status.
 */
int cell_refused(struct ctl *c, const char *what, int error, const struct reasons *reasons);

#endif
