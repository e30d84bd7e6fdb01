/* SPDX-License-Identifier: MIT */
/* The numbers only: there is no `errno`, functions return them negated. */
#ifndef THESEUS_LIBC_ERRNO_H
#define THESEUS_LIBC_ERRNO_H

#include <theseus/errno.h>

#endif
