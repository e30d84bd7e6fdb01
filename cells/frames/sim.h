/* SPDX-License-Identifier: MIT */
/*
 * A gate for unit tests of the memory cells: keeps G1 and G2 for a model of frames and pages,
 * and backs mapped pages with memory that holds garbage until somebody clears it. Under
 * AddressSanitizer pages that are not mapped are poisoned.
 */
#ifndef FRAMES_SIM_H
#define FRAMES_SIM_H

#include "sim-map.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <theseus/gate-call.h>
#include <theseus/handoff.h>
#include <theseus/types.h>

#define SIM_RAM_START 0x100000ull
#define SIM_SEED_PAGES 16u  /* mapped by the seed in each of both areas */
#define SIM_BUNDLE_PAGES 8u /* the last of them in the dynamic area: RAM outside free[] */

struct sim {
	uint64_t ram_pages;     /* from SIM_RAM_START */
	uint64_t tables_left;   /* page tables of the gate's own */
	uint64_t tables_given;  /* by GATE_TABLE */
	uint64_t mapped;        /* pages */
	uint64_t calls;         /* that changed something or could have */
	uint64_t refused;       /* calls that broke a rule: a test that expects none checks it */
	int64_t fail_in;        /* if > 0: counts down; the call that makes it 0 fails with -EIO */
	int64_t frames_fail_in; /* the same for frames_alloc(), with -ENOMEM */
	bool frames_fail_on;    /* and from then on all do */
	uint64_t failures;      /* that were made */
};
extern struct sim sim;

/*
 * Clears all states and the model, and makes a boot record and a hand-over for @ram_pages of
 * RAM. sim_start() then calls the init of the cells.
 */
void sim_boot(uint64_t ram_pages);
extern struct boot_record sim_record;
extern struct seed_handoff sim_handoff;
int sim_start(const struct cell_ops *cell);

/* As the gate sees it. */
bool sim_page_mapped(uint64_t va);
bool sim_page_writable(uint64_t va);
uint64_t sim_page_frame(uint64_t va); /* 0 = none */

/* Runs fn(arg) and expects that it traps for @reason. */
void sim_expect_trap(void (*fn)(void *arg), void *arg, const char *reason);

/* xorshift64*, seeded by sim_boot(). */
uint64_t sim_random(void);
size_t sim_below(size_t n);

#endif
