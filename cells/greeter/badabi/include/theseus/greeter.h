/* SPDX-License-Identifier: MIT */
/*
 * Another idea of the greeter's interface, for the test that a bundle which changes a
 * signature under its callers is refused by name.
 */
#ifndef THESEUS_GREETER_H
#define THESEUS_GREETER_H

#include <theseus/types.h>

#define GREETER_TEXT_MAX 64u

/* As ever, but answers with a length that cannot be an error, and takes a 32-bit size. */
size_t greeter_greet(char *buf, uint32_t len) MUST_USE;

uint64_t greeter_calls(void);

#endif
