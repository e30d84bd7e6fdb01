/* SPDX-License-Identifier: MIT */
#ifndef CALLER_H
#define CALLER_H

#include <theseus/types.h>

/* Makes the callers rest, or go on. */
void caller_pause(bool pause);

/* Does what greeter_greet() does, to the letter, within this cell. */
int caller_greet(char *buf, size_t len) MUST_USE;

#endif
