/* SPDX-License-Identifier: MIT */
/* The build's own record of how objects are compiled: Meson's compile_commands.json. */
#ifndef THESEUS_LIB_CHECK_COMMANDS_H
#define THESEUS_LIB_CHECK_COMMANDS_H

#include "base/reasons.h"
#include "rules.h"

struct commands {
	struct check_source *sources;
	size_t n;
	char **words; /* what all of them point into */
	size_t n_words;
};

void commands_done(struct commands *c);

/*
 * The sources of @objects (NULL-terminated, named as in @path), with their flags, in order.
 * Result: 0, -EPERM with @reasons ("bad-commands"), -ENOMEM.
 */
int commands_load(const char *path, const char *const *objects, struct commands *ret_commands,
		  struct reasons *reasons);

#endif
