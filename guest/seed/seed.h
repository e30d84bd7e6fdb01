/* SPDX-License-Identifier: MIT */
/*
 * The seed: ring 3, CPU 0, masked, before any cell exists. It may use the gate and its own
 * image (GATE_SEED), nothing else. Everything it leaves behind is in struct seed_handoff.
 * It runs once, so its records are static; every failure ends the VM with a line that names
 * what is wrong.
 */
#ifndef THESEUS_SEED_H
#define THESEUS_SEED_H

#include <theseus/cell.h>
#include <theseus/handoff.h>

#include "link.h"
#include "manifest.h"

#define SEED_STACK_PAGES 8u
#define SEED_EXPORTS_MAX 512u
#define SEED_ARENA_BYTES (96u << 10)

struct seed_object {
	struct manifest_cell manifest;
	struct object object;
	struct link_layout layout;
	struct link_memory memory[LINK_REGIONS];
	const struct cell_ops *ops; /* NULL = none */
};

/* ---- console.c ---- */

/* Ends the VM: all reasons on COM1, the first one in the crash record. */
void seed_fail(const struct loader_report *report) __attribute__((noreturn));
/* The same with one reason. @code as in reports. */
void seed_die(const char *code, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* ---- memory.c ---- */

/* Takes @pages consecutive frames off @handoff->free; dies when there are none. */
uint64_t seed_frames(struct seed_handoff *handoff, uint64_t pages);
/* Maps @runs (of any length), in as few calls as fit. */
void seed_map(const struct gate_run *runs, unsigned n);
void seed_seal(const struct gate_run *runs, unsigned n);

/* ---- link.c ---- */

/* Finds, verifies and lays out the seed's cells. Result: how many. */
unsigned seed_open_cells(struct slice bundle, struct seed_object objects[SEED_CELLS_MAX]);
/* Writes the cells to their memory, which is mapped. */
void seed_link_cells(struct seed_object *objects, unsigned n, struct seed_handoff *handoff);
/* Address of the exported function @name of the last cell. */
uint64_t seed_export(const char *name);

#endif
