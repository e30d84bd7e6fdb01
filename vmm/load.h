/* SPDX-License-Identifier: MIT */
/* Files into guest memory: what every machine does first, whoever executes it. */
#ifndef VMM_LOAD_H
#define VMM_LOAD_H

#include "boot.h"
#include "machine.h"

struct loaded {
	gpa_t entry, start_info;
};

/* Maps memory as @config wants it; @m must be deinitialised, also on failure. */
int load_memory(struct guest_memory *m, const struct machine_config *config, struct failure *f)
	__attribute__((warn_unused_result));

/* Loads guest, bundle and boot records into @m. Result: 0 and *@ret_loaded, or -errno. */
int load_files(const struct guest_memory *m, const struct machine_config *config,
	       struct loaded *ret_loaded, struct failure *f) __attribute__((warn_unused_result));

/* The guest's whole command line. Result: its length, as snprintf(). */
int load_cmdline(const struct machine_config *config, char *out, size_t size);

#endif
