/* SPDX-License-Identifier: MIT */
#ifndef VMM_RESIDENT_H
#define VMM_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Resident bytes of this process, without what lies in the mapping [@ram, @ram + @size),
 * which must not share a VMA with anything else. 0 if the kernel does not say.
 */
uint64_t resident_without(const void *ram, size_t size);

#endif
