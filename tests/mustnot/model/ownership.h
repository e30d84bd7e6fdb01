/* SPDX-License-Identifier: MIT */
/*
 * Ownership, said in terms that compilers track already: making something allocates a token,
 * giving it up frees the token, and a view points into it. So a second drop is a double free,
 * a view past its region a use after free, a forgotten owner a leak. Included before anything
 * else where ownership is analysed; nothing that is linked ever sees it.
 */
#ifndef MODEL_OWNERSHIP_H
#define MODEL_OWNERSHIP_H

#include <stddef.h>

void *calloc(size_t n, size_t bytes);
void free(void *p);

#define OWNERSHIP_TOKEN void *token_;

#endif
