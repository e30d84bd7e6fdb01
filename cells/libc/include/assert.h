/* SPDX-License-Identifier: MIT */
/* A failed assertion is a fault of the calling task: see theseus/trap.h. */

/* As C has it: what assert() does follows NDEBUG at each inclusion, so no guard here. */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition)                                                                          \
	((condition) ? (void)0 : __assert_fail(#condition, __FILE__, __LINE__, __func__))
#endif

#ifndef THESEUS_LIBC_ASSERT_H
#define THESEUS_LIBC_ASSERT_H

#define static_assert _Static_assert

void __assert_fail(const char *condition, const char *file, unsigned line, const char *function)
	__attribute__((noreturn));

#endif
