/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTAINER_OF_H
#define VMM_CONTAINER_OF_H

#include <stddef.h>

/* The struct of @type whose @member @ptr points to. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
