/* SPDX-License-Identifier: MIT */
/* What the libc cell exports. Include the standard headers instead; this one is their sum. */
#ifndef THESEUS_LIBC_H
#define THESEUS_LIBC_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called by code that was built with stack protection: a fault of the task. */
void __stack_chk_fail(void) __attribute__((noreturn));

#endif
