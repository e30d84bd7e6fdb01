/* SPDX-License-Identifier: MIT */
/* For tests: a namespace on the fakes, from its first bundle to its end. */
#ifndef LOADER_TESTING_BOOT_H
#define LOADER_TESTING_BOOT_H

#include "build.h"

/* Starts the fakes and loads @bundle, which is consumed, as the boot would. */
void boot_bundle(struct blob bundle);

/* Frees what that and later swaps made, and checks that nothing else is left. */
void boot_end(void);

#endif
