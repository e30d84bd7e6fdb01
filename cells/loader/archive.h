/* SPDX-License-Identifier: MIT */
/*
 * `ar` archives as GNU ar writes them: the container of bundles. Long names by the "//"
 * table; the symbol index is skipped; thin archives and BSD names are refused.
 */
#ifndef THESEUS_LOADER_ARCHIVE_H
#define THESEUS_LOADER_ARCHIVE_H

#include "report.h"
#include "slice.h"

#define ARCHIVE_MEMBERS_MAX 256u

struct archive {
	struct slice bytes; /* borrowed */
	struct slice names; /* contents of the "//" member */
};

struct archive_member {
	struct slice name;
	struct slice data;
};

/* Checks the whole archive. Result: 0, -EINVAL with a reason. */
int archive_open(struct slice bytes, struct archive *ret_archive, struct loader_report *report);

/* The member called @name. Result: 0, -ENOENT. */
int archive_find(const struct archive *archive, struct slice name, struct slice *ret_data);

#endif
