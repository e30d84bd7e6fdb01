/* SPDX-License-Identifier: MIT */
/*
 * A bundle on its way into the namespace. stage.c makes it (opened → checked → placed →
 * linked → sealed), commit.c puts it into effect and takes it back, finalise.c ends it.
 */
#ifndef THESEUS_LOADER_STAGE_H
#define THESEUS_LOADER_STAGE_H

#include "archive.h"
#include "machine.h"
#include "namespace.h"
#include "slots.h"

#define STAGED_NO_IMPORT UINT16_MAX

/* A cell of the bundle. */
struct staged_cell {
	struct manifest_cell manifest; /* borrowed from the bundle: only while linking */
	struct object object;
	struct link_layout layout;
	void *arena;       /* of layout and imports; owned, only while linking */
	uint16_t *imports; /* one a symbol: the import it is, or STAGED_NO_IMPORT */
	struct record *new;
	struct record *old; /* what it replaces; NULL = it is new */
};

enum stage_state {
	STAGE_MAKING = 0, /* loader_stage_create() is not done */
	STAGE_READY,
	STAGE_COMMITTED,
};

struct loader_state;

struct loader_stage {
	enum stage_state state;
	bool boot; /* nothing to replace, slots are still writable */
	bool taken_back; /* it was committed before: tasks may be in what it brings */
	bool quarantined;
	struct loader_stage *next; /* in loader_state.quarantine */
	struct namespace *before, *after;
	uint32_t n_cells; /* of the bundle, those that the boot already has left out */
	struct staged_cell *cells;
	uint32_t n_gone;
	struct record **gone;      /* cells that leave */
	struct patch_list patches; /* what commit changes */
	uint32_t n_taken;          /* slots and stubs that only this stage knows */
	struct stage_taken {
		uint32_t slot;
		uint32_t stub_at; /* 0 = none */
	} * taken;
	uint32_t max_taken;
};

/*
 * As loader_stage_create(); @boot: cells that are linked already are left out, slot pages
 * are sealed with the cells, and the generation stays.
 */
int stage_create(struct slice bundle, bool boot, struct loader_stage **ret_stage,
		 struct loader_report *report) MUST_USE;

/* Frees a stage that is not committed, with all it made. */
void stage_destroy(struct loader_stage *stage);

/* Opens a cell's object: member, size, hash, format, layout. Result: 0, -EINVAL, -ENOMEM. */
int stage_open_cell(const struct archive *archive, bool hash, struct staged_cell *cell,
		    struct loader_report *report) MUST_USE;

/* Frees what only linking needs. */
void stage_close_cell(struct staged_cell *cell);

/*
 * Copies and relocates a cell to @memory in the scope of @ns, and records its sites.
 * @verify: it is linked there already; compare. Result: 0, -EINVAL with reasons.
 */
int stage_link(const struct staged_cell *cell, const struct namespace *ns,
	       const struct link_memory memory[LINK_REGIONS], bool verify,
	       struct loader_report *report) MUST_USE;

/* The table of cell_ops of a linked cell, or NULL. */
const struct cell_ops *record_ops(const struct record *r);

/*
 * adopt.c: makes the first namespace of the cells that @seed names, whose objects are in
 * @bundle; memory must hold what relocating them there gives, except for the state, which lives.
 * Only at boot: on failure nothing is cleaned up. Result: 0, -EINVAL with a reason, -ENOMEM.
 */
struct seed_handoff;
int adopt_cells(const struct seed_handoff *seed, struct slice bundle,
		struct loader_report *report) MUST_USE;

/* Frees the stage itself, not what it made. */
void stage_free(struct loader_stage *stage);

/* ---- commit.c ---- */

/* Collects what commit will change. Result: 0, -EPERM with reasons, -ENOMEM. */
int commit_prepare(struct loader_stage *stage, struct loader_report *report) MUST_USE;

/*
 * Puts a ready stage into effect, or takes it back. Other CPUs are parked, or there are none
 * yet. Allocates nothing, takes no lock. Result: 0, or -errno and nothing was changed.
 */
int commit_apply(struct loader_stage *stage) MUST_USE;
int commit_revert(struct loader_stage *stage) MUST_USE;

/* ---- finalise.c ---- */

/*
 * What tasks may still be in though no generation has it: what a commit replaced, or, of one
 * that was taken back, what it brought. Result: the @i-th of so many, or NULL.
 */
uint32_t stage_n_obsolete(const struct loader_stage *stage);
struct record *stage_obsolete(const struct loader_stage *stage, uint32_t i);

/* Can all that may become obsolete be listed, one way and the other? 0, -EPERM with a reason. */
int finalise_check(struct loader_stage *stage, struct loader_report *report) MUST_USE;

/* Cell of the quarantine whose text covers @at, or NULL. Under the lock, or between
 * reader_begin() and reader_end(). */
const struct record *quarantine_locate(const struct loader_state *s, uint32_t at);

/* Unmaps and frees what is obsolete, and the stage. Result: bytes unmapped. */
uint64_t commit_finalise(struct loader_stage *stage);

/* As loader_stage_quarantine(), but for the stage that exists. */
void commit_quarantine(struct loader_stage *stage);

#endif
