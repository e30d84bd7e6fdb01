/* SPDX-License-Identifier: MIT */
/*
 * Restart stubs of blocking exports (stub.S): one for each, in text pages that belong to no
 * cell and hold no grant. A stub outlives the swaps of its export. Stubs in pages that are
 * not sealed yet are written directly, others by patches. Pages are made in blocks, each as
 * large as all before it, so that there are few: an address is looked for in one after the other.
 */
#ifndef THESEUS_LOADER_STUBS_H
#define THESEUS_LOADER_STUBS_H

#include "machine.h"

#define STUB_BYTES 96u
#define STUBS_PER_PAGE (PAGE_SIZE / STUB_BYTES)

struct stub_block {
	struct stub_block *next;
	struct record_region region;
	uint32_t n; /* stubs */
	bool sealed;
	uint32_t first_free; /* index + 1; 0 = none */
	/* of each stub: STUB_USED and its slot, or the next free one's index + 1 */
	uint32_t stubs[];
};
#define STUB_USED (1u << 31)

/* Makes sure that @n stubs can be made. Result: 0, -ENOMEM or the gate's. */
int stubs_reserve(uint32_t n) MUST_USE;

/*
 * A stub that calls through slot @slot. @signature: the export's type as C text; it decides
 * how wide the result is. Result: 0; -ENOSPC, or the gate's.
 */
int stub_make(uint32_t slot, const char *signature, uint32_t *ret_at) MUST_USE;

/* The stub's place may be used for another export: nothing may be inside. */
void stub_give(uint32_t at);

/* Whether @at lies in a stub; where that starts, and its slot. Any context. */
bool stub_locate(uint32_t at, uint32_t *ret_start, uint32_t *ret_slot);

/* Adds runs for pages that are not sealed yet; they count as sealed. Result: how many. */
uint32_t stubs_seal_runs(struct gate_run *runs, uint32_t max);

#endif
