/* SPDX-License-Identifier: MIT */
/*
 * The demonstration's server: says hello, and from which version of itself.
 * Context: any task, on any CPU at once; never blocks.
 */
#ifndef THESEUS_GREETER_H
#define THESEUS_GREETER_H

#include <theseus/types.h>

#define GREETER_TEXT_MAX 64u /* enough for every version's greeting, NUL included */

/*
 * Writes the greeting, NUL-terminated, to @buf: version 1.0.0 says "hello from greeter 1.0.0",
 * version 2.0.0 "greetings from greeter 2.0.0, swapped in while you called".
 * Result: its length without the NUL, or -ENOSPC when @len is too small (nothing is counted).
 */
int greeter_greet(char *buf, size_t len) MUST_USE;

/* Greetings given so far, by all versions that carried the state on. */
uint64_t greeter_calls(void);

#endif
