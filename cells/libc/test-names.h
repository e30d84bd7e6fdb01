/* SPDX-License-Identifier: MIT */
/* Names under which the unit test links our functions beside the host's. */
#ifndef LIBC_TEST_NAMES_H
#define LIBC_TEST_NAMES_H

#define memcpy our_memcpy
#define memmove our_memmove
#define memset our_memset
#define memcmp our_memcmp
#define memchr our_memchr
#define strlen our_strlen
#define strnlen our_strnlen
#define strcmp our_strcmp
#define strncmp our_strncmp
#define strchr our_strchr
#define strrchr our_strrchr
#define strstr our_strstr
#define strspn our_strspn
#define strcspn our_strcspn
#define strlcpy our_strlcpy
#define snprintf our_snprintf
#define vsnprintf our_vsnprintf
#define strtol our_strtol
#define strtoul our_strtoul
#define strtoll our_strtoll
#define strtoull our_strtoull
#define qsort our_qsort
#define bsearch our_bsearch
#define abort our_abort
#define __assert_fail our_assert_fail
#define __stack_chk_fail our_stack_chk_fail

#endif
