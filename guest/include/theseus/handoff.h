/* SPDX-License-Identifier: MIT */
/*
 * What the seed leaves behind for the first cells: where it put them and how much it used.
 * The seed links SEED_CELLS of the boot bundle in that order, calls init of each in that
 * order, and then loader_start(). The loader adopts these records (it re-reads the objects
 * and rebuilds its tables for the addresses given here), then frees the seed's image.
 */
#ifndef THESEUS_HANDOFF_H
#define THESEUS_HANDOFF_H

#include <theseus/gate.h>

/* Order matters: each may call those before it. */
#define SEED_CELLS "libc", "unwind", "frames", "mapped", "heap", "loader"
#define SEED_CELLS_MAX 8u

struct seed_cell {
	char name[32];
	uint64_t text, text_bytes;     /* page-aligned addresses; bytes rounded to pages */
	uint64_t rodata, rodata_bytes; /* rodata, relro and GOT */
	uint64_t state, state_bytes;   /* 0 bytes: the cell has no state */
};

/* Where boot time went: TSC at the end of something. */
struct seed_mark {
	char name[32];
	uint64_t tsc;
};
#define SEED_MARKS_MAX 16u

struct seed_handoff {
	uint32_t version; /* 1 */
	uint32_t n_cells;
	uint32_t n_free;
	uint32_t n_marks;
	struct gate_range free[GATE_BOOT_RANGES]; /* physical RAM still unused */
	uint64_t window_next;  /* first unused address of the cell window; below it is in use */
	uint64_t dynamic_next; /* the same for GATE_DYNAMIC */
	uint64_t bundle;       /* address of the boot bundle's first byte, mapped read-only */
	uint64_t bundle_size;
	uint64_t bundle_pages_va, bundle_pages; /* the whole mapping that covers it */
	uint64_t slots_va, slots_pages; /* first pages of IFACE_TABLE; the loader seals them */
	uint32_t slots_used;   /* slots 0..slots_used-1; slot i + 1 is cell i's own, 0 stays empty */
	uint32_t reserved2;
	uint64_t stack, stack_bytes; /* what loader_start runs on; this record lies at its top */
	struct seed_cell cells[SEED_CELLS_MAX];
	struct seed_mark marks[SEED_MARKS_MAX];
};

#endif
