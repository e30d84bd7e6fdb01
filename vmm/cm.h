/* SPDX-License-Identifier: MIT */
/* cmocka and what its header needs before it, for the unit tests of this folder. */
#ifndef VMM_CM_H
#define VMM_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
