/* SPDX-License-Identifier: MIT */
/*
 * The loader's hands: memory of the cell window and the gate's seal and patch. One
 * implementation works on the machine; unit tests bring one that works on a buffer.
 */
#ifndef THESEUS_LOADER_MACHINE_H
#define THESEUS_LOADER_MACHINE_H

#include "record.h"

/*
 * Maps @n regions of region[i]->bytes (whole pages, 0 = none) as writable zeroed memory of
 * the cell window; fills in at and pages. Result: 0, -ENOMEM and nothing is mapped.
 */
int machine_map(struct record_region *const *regions, uint32_t n) MUST_USE;

/* Unmaps at most LINK_REGIONS; the addresses may be used again. Accepts none. */
void machine_unmap(struct record_region *regions, uint32_t n);

/* Takes over what the seed mapped at region->at. Result: 0, -errno. */
int machine_adopt(struct record_region *region) MUST_USE;

/* GATE_SEAL of any number of runs {va, pages, flags}. Result: 0, -errno. */
int machine_seal(const struct gate_run *runs, uint32_t n) MUST_USE;

/*
 * GATE_PATCH of any number of records, in several calls. Result: 0, or -errno and all
 * values are as before. Allocates nothing, takes no lock.
 */
int machine_patch(const struct gate_patch *patches, uint32_t n) MUST_USE;
/* The same with from and to exchanged, last record first. */
int machine_unpatch(const struct gate_patch *patches, uint32_t n) MUST_USE;

/* Where the bytes at @at of the window can be reached. Borrowed while they are mapped. */
void *machine_bytes(uint32_t at);

/* Maps another page of the slot table, writable. Result: 0, -errno. */
int machine_map_slots(uint32_t page) MUST_USE;

#endif
