/* SPDX-License-Identifier: MIT */
/*
 * The part of <string.h> that cells and packed archives use, as C defines it; what is not
 * in the standard is described where it stands.
 */
#ifndef THESEUS_LIBC_STRING_H
#define THESEUS_LIBC_STRING_H

#include <stddef.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *p, int c, size_t n);

size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *needle);
size_t strspn(const char *s, const char *accept);
size_t strcspn(const char *s, const char *reject);

/*
 * Copies as much of @src as fits @size bytes, always terminated unless @size is 0.
 * Returns strlen(@src): the copy was cut if that is >= @size.
 */
size_t strlcpy(char *restrict dst, const char *restrict src, size_t size);

#endif
