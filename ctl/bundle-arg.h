/* SPDX-License-Identifier: MIT */
/* What the words of swap-cell name: one bundle as it stands, or cells out of several. */
#ifndef THESEUS_CTL_BUNDLE_ARG_H
#define THESEUS_CTL_BUNDLE_ARG_H

#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

/* "CELL=FILE", or just FILE: then cell is NULL. file is borrowed from the word. */
struct bundle_arg {
	char *cell;
	const char *file;
};

/*
 * Reads @n words, more than 0. Several are allowed only if each names its cell.
 * Result: 0 and *ret_args, to be freed with bundle_args_free(); else an exit status.
 */
int bundle_args_read(struct ctl *c, int n, char **words, struct bundle_arg **ret_args);
void bundle_args_free(struct bundle_arg *args, int n);

/*
 * The bytes to send to the guest. A single file is sent as it stands, after a look whether it
 * has the cells that were named; cells of several unsigned files become one bundle, as one
 * transaction. *ret_data is malloc()ed. Result: exit status; CTL_REFUSED with all reasons when
 * a named cell is not there or a file is no bundle.
 */
int bundle_args_load(struct ctl *c, const struct bundle_arg *args, int n, uint8_t **ret_data,
		     size_t *ret_len);

/* The bytes of @file whatever they are: the guest judges them. */
int bundle_file_load(struct ctl *c, const char *file, uint8_t **ret_data, size_t *ret_len);

/* Is @file a whole bundle, as one to boot from must be? Result: 0 or CTL_FAILED with all reasons.
 */
int bundle_file_check(struct ctl *c, const char *file);

#endif
