/* SPDX-License-Identifier: MIT */
/*
 * The table of interface slots and the list of patches that a transaction collects. Slots
 * are written directly while their page is still writable (boot), later by patches.
 * A slot is free when its `cell` is 0. Slot 0 is never used. Where free ones may be is noted
 * aside, so that taking one does not look at all that are taken.
 */
#ifndef THESEUS_LOADER_SLOTS_H
#define THESEUS_LOADER_SLOTS_H

#include "machine.h"

struct patch_list {
	struct gate_patch *patches; /* owned */
	uint32_t n, max;
};

void patch_list_free(struct patch_list *list);

/* Makes room for @n more. Result: 0, -ENOMEM. */
int patch_list_reserve(struct patch_list *list, uint32_t n) MUST_USE;

/* Adds what turns @from into @to: nothing when they are equal. There must be room for 2. */
void patch_list_add(struct patch_list *list, uint64_t addr, uint64_t from, uint64_t to, bool wide);

struct iface_slot slot_read(uint32_t index);

/* Adds what makes slot @index @to. There must be room for 4. */
void slot_change(struct patch_list *list, uint32_t index, struct iface_slot to);

/*
 * Takes a free slot: its generation becomes a new one, its cell @cell (0: its own index), its
 * table @ops. It is not known to anybody yet. Result: 0, -ENOSPC, -ENOMEM or the gate's.
 */
int slot_take(uint32_t cell, uint64_t ops, uint32_t *ret_index) MUST_USE;

/* Adds what vacates slot @index: the next generation, nobody's. There must be room for 4. */
void slot_vacate(struct patch_list *list, uint32_t index);

/* Vacates a slot at once: for one that was taken and never published. */
int slot_give(uint32_t index);

/* Seals the pages that are still writable: boot. The caller seals what this adds to @runs. */
uint32_t slots_seal_runs(struct gate_run *runs, uint32_t max);

#endif
