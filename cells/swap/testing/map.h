/* SPDX-License-Identifier: MIT */
/* Included before everything else in what the unit test builds: slots are an array of its own. */
#ifndef SWAP_TESTING_MAP_H
#define SWAP_TESTING_MAP_H

#define iface_ops iface_ops_of_guest
#include <theseus/cell.h>
#undef iface_ops
#undef IFACE_TABLE

extern struct iface_slot fake_slots[4];
#define IFACE_TABLE ((uintptr_t)fake_slots)

static inline const void *iface_ops(struct iface h)
{
	if (h.generation == 0 || h.slot >= 4 || fake_slots[h.slot].generation != h.generation)
		return NULL;
	return fake_slots[h.slot].ops;
}

/* libc of the guest has it, that of the host may not. */
size_t strlcpy(char *dst, const char *src, size_t size);

#endif
