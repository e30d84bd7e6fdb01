/* SPDX-License-Identifier: MIT */
/*
 * For tests: a cell window in a buffer, a gate that seals and patches it, `mapped`, `frames`
 * and the heap, all of which can be told to fail. Pages that are not mapped cannot be
 * touched, sealed ones not written.
 */
#ifndef LOADER_TESTING_FAKE_H
#define LOADER_TESTING_FAKE_H

#include <stdbool.h>
#include <stdint.h>

struct fake {
	uint64_t pages;       /* mapped in the window, the slot table included */
	uint64_t blocks;      /* heap blocks that live */
	uint64_t map_calls, seal_calls, patch_calls;
	/* If > 0: counts down; the call that makes it 0 fails, once. */
	int64_t heap_fail_in, map_fail_in, seal_fail_in, patch_fail_in;
	bool patch_fail_on; /* and from then on all do */
};
extern struct fake fake;

/* Everything empty, one slot page mapped; the loader's state is fresh. */
void fake_start(void);

/* Reads @n <= 8 bytes at a window address. */
uint64_t fake_read(uint64_t addr, unsigned n);
void fake_write(uint64_t addr, uint64_t value, unsigned n);
/* Changes a byte of a sealed page, as nothing on the machine could. */
void fake_poke(uint64_t addr, uint8_t value);
void fake_poke_word(uint64_t addr, uint64_t value);
/* A copy of [addr, addr + n), malloc()ed. */
void *fake_copy(uint64_t addr, uint64_t n);
bool fake_is_mapped(uint64_t addr);
/* Seals again as text that can be executed, where it lies in this process. */
void *fake_code(uint64_t addr);

#endif
