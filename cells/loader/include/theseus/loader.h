/* SPDX-License-Identifier: MIT */
/*
 * Loader: the namespace of cells. Parses, links, lists, patches and unloads them.
 *
 * Two callers: everybody, for look-ups and listings; and the swap cell, for the steps of a
 * transaction (loader_stage … loader_finalise), which document their undo.
 * Context: tasks. Look-ups take the loader's lock shortly; stage may take long.
 */
#ifndef THESEUS_LOADER_H
#define THESEUS_LOADER_H

#include <theseus/cell.h>

struct seed_handoff;

/* Called by the seed, once. Loads the rest of the boot bundle and starts it; never returns. */
void loader_start(const struct cell_boot *boot) __attribute__((noreturn));

/*
 * Takes over when all cells are linked and initialised: the first provider, called masked on
 * the boot stack @stack..@stack + @stack_bytes, which it may adopt (mapped_adopt()). Never
 * returns. The loader itself is linked too early to import what starts tasks.
 */
struct boot_ops {
	void (*start)(const struct cell_boot *boot, uint64_t stack, uint64_t stack_bytes);
};
IFACE_DEFINE(boot_ops);

#define LOADER_MARK_NAME 32u

/*
 * Where boot time went: the @index-th mark, in order of time; TSC when it was done. "gate",
 * "seed: linked", "link NAME", "init NAME". Result: 0, -ENOENT past the end.
 */
int loader_boot_mark_at(uint32_t index, char ret_name[LOADER_MARK_NAME],
			uint64_t *ret_tsc) MUST_USE;

/* SHA-256 of @n bytes, for whoever checks what it was sent. */
void loader_sha256(const void *data, size_t n, uint8_t ret_digest[32]);

/* ---- look-ups ---- */

struct loader_cell {
	struct cell_ref ref;
	char name[CELL_NAME_MAX];
	char version[16];
	char summary[100];
	uint8_t hash[32]; /* SHA-256 of the object */
	uint8_t build_id[20];
	uint64_t generation;   /* in which it was loaded */
	uint64_t state_schema; /* 0 = no state */
	uint64_t text, text_bytes;
	uint64_t rodata, rodata_bytes;
	uint64_t state, state_bytes;
	uint32_t refs;   /* cells that depend on it */
	uint32_t grants; /* GATE_GRANT_* */
	uint8_t safety, quiescence, restart;
};

/* Copies the record of the cell named @name. Result: 0, -ENOENT. */
int loader_cell_find(const char *name, struct loader_cell *ret_cell) MUST_USE;
/* The same of the cell that @ref names. */
int loader_cell_of(struct cell_ref ref, struct loader_cell *ret_cell) MUST_USE;
/* The @index-th cell in link order, 0..; -ENOENT past the end. */
int loader_cell_at(uint32_t index, struct loader_cell *ret_cell) MUST_USE;
/* How many there are. */
uint32_t loader_cell_count(void);
/*
 * The @index-th cell that no generation has any more and that is mapped because tasks are still
 * in it; -ENOENT past the end.
 */
int loader_quarantined_at(uint32_t index, struct loader_cell *ret_cell) MUST_USE;
/* The generation that is running; 0 = as booted. */
uint64_t loader_generation(void);

struct loader_symbol {
	char name[CELL_SYMBOL_MAX];
	char cell[CELL_NAME_MAX]; /* who exports it */
	uint64_t abi;
	uint64_t addr;
	char signature[256]; /* C text, cut */
};
/*
 * @index-th export (@imports false) or import of the cell @name; -ENOENT past the end. The
 * address is the function's own, also where callers go through a restart stub.
 */
int loader_symbol_at(const char *name, bool imports, uint32_t index,
		     struct loader_symbol *ret_symbol) MUST_USE;

struct loader_dep {
	char cell[CELL_NAME_MAX]; /* the other side */
	char via[CELL_NAME_MAX];  /* "link" or the interface's name */
	uint32_t sites;           /* relocations, or slots */
	uint32_t n_symbols;
	char symbols[8][CELL_SYMBOL_MAX]; /* the first eight */
};
/*
 * @index-th dependency of @name (@reverse: dependent on it), links before interfaces; -ENOENT past
 * the end.
 */
int loader_dep_at(const char *name, bool reverse, uint32_t index,
		  struct loader_dep *ret_dep) MUST_USE;

struct loader_location {
	char cell[CELL_NAME_MAX];
	char function[CELL_SYMBOL_MAX]; /* "" where the object names none */
	uint64_t offset;                /* from the function, or from the text's start */
};
/* What lies at @addr. Result: 0, -ENOENT. Any context: takes no lock, allocates nothing. */
int loader_locate(uint64_t addr, struct loader_location *ret_location) MUST_USE;
/* How many bytes of a cell's read-only data follow from @addr on; 0: none lies there. Context as
 * loader_locate(). */
size_t loader_rodata_at(uint64_t addr) MUST_USE;

/*
 * Providers of an interface: the @index-th, in link order. The calling cell should declare
 * CELL_CONSUMES(interface). Result: 0, -ENOENT past the end.
 */
int iface_at(const char *interface, uint32_t index, char ret_name[CELL_NAME_MAX],
	     struct iface *ret_handle) MUST_USE;
/* The provider called @name. Result: 0, -ENOENT. */
int iface_find(const char *interface, const char *name, struct iface *ret_handle) MUST_USE;

/* ---- the steps of a swap, for the swap cell alone; see cells/swap ---- */

#define LOADER_REASONS_MAX 16u
#define LOADER_REASON_BYTES 192u

/* Why a bundle was refused: every reason that was found, cut to what fits. */
struct loader_report {
	char code[24]; /* stable word of the first reason: "abi-mismatch" */
	uint32_t n_reasons;
	char reasons[LOADER_REASONS_MAX][LOADER_REASON_BYTES];
};

struct loader_stage; /* a bundle that is linked beside the running system */

struct loader_change {
	char name[CELL_NAME_MAX];
	char old_version[16], new_version[16]; /* "" = none */
	uint8_t old_hash[32], new_hash[32];
	uint32_t old_grants, new_grants; /* GATE_GRANT_*: more than before is allowed, but shown */
	uint8_t quiescence;              /* enum cell_quiescence of what is replaced */
};

/* Frees what loader_stage_create() made and no commit put into effect. Accepts NULL. */
void loader_stage_drop(struct loader_stage *stage);

/*
 * Steps 1 and 2: verifies hashes, parses, maps, relocates against the namespace with the
 * bundle's own cells laid over it, and checks ABI hashes both ways, state schemas and
 * grants. Nothing running changes. @bundle is borrowed for the call (hostile bytes).
 * Result: 0; -EINVAL the bundle is malformed, -EPERM a check refused it, -EBUSY another
 * stage exists, -ENOMEM: @ret_report says why. Undo: loader_stage_drop().
 */
int loader_stage_create(const void *bundle, size_t size, struct loader_stage **ret_stage,
			struct loader_report *ret_report) MUST_USE;

/* The @index-th change that committing @stage would make; -ENOENT past the end. */
int loader_stage_change(const struct loader_stage *stage, uint32_t index,
			struct loader_change *ret_change) MUST_USE;

/*
 * The checks of step 2 again, for a namespace that may have moved since the stage was made.
 * Result: 0, -EPERM with a report.
 */
int loader_stage_check(struct loader_stage *stage, struct loader_report *ret_report) MUST_USE;

/*
 * Step 4, commit: other CPUs are parked and this task is not preempted. Patches dependents
 * and slots, switches the namespace. Allocates nothing, takes no lock, does not call what
 * it replaces. Result: 0, or -errno with everything as it was before the call.
 */
int loader_stage_commit(struct loader_stage *stage) MUST_USE;

/*
 * Undo of commit, in the same context: the old cells run again, with the state as it is now.
 * Afterwards the stage is as before the commit. Result: 0, or -errno and nothing changed.
 */
int loader_stage_revert(struct loader_stage *stage) MUST_USE;

#define LOADER_RANGES_MAX 192u

/*
 * Where tasks may still be though no generation has it: the @index-th range of text, rodata and
 * stubs that the commit makes obsolete; after a revert, of what the commit had brought.
 * -ENOENT past the end, which comes at LOADER_RANGES_MAX.
 */
int loader_stage_old_range(const struct loader_stage *stage, uint32_t index, uint64_t *ret_start,
			   uint64_t *ret_end) MUST_USE;

/*
 * Step 6, finalise: unmaps what is obsolete; nobody is in it. After a commit, a revert or
 * loader_stage_quarantine(). Consumes @stage. Result: bytes freed.
 */
uint64_t loader_stage_finalise(struct loader_stage *stage);

/*
 * Instead, when tasks stay in what is obsolete: it stays mapped, is found by loader_locate() and
 * by the unwinder, and another stage may be made. Undo: loader_stage_finalise(), when they
 * have left it and it is not loader_stage_needed().
 */
void loader_stage_quarantine(struct loader_stage *stage);

/* Code in quarantine, of another stage, calls what @stage made obsolete. */
bool loader_stage_needed(const struct loader_stage *stage) MUST_USE;

/* The @index-th stage in quarantine, oldest first; NULL past the end. For the swap service alone. */
struct loader_stage *loader_quarantined_stage(uint32_t index) MUST_USE;

/*
 * init of cells that are new with this stage, then fini of those that left; after commit, in
 * a task. Result: 0 or the first -errno, and nothing after it was called.
 */
int loader_stage_init(struct loader_stage *stage) MUST_USE;

/* ---- restart of a cell with fresh state, for the swap cell alone ---- */

struct loader_restart;

/*
 * Prepares to give the cell @name the state that it had when it was linked. While callers are
 * held, the blocking exports of it and of the cells that use it lead to @hold, the address of
 * a function that waits and returns -ERESTART_CELL, whatever its arguments. No bundle can be
 * staged meanwhile. Result: 0; -ENOENT, -EPERM (its manifest forbids it, or it runs a service),
 * -EBUSY (a bundle is staged, or a task is in a version of the cell that was replaced), -ENOMEM:
 * @ret_report says why. Undo: loader_restart_drop().
 */
int loader_restart_create(const char *name, uint64_t hold, struct loader_restart **ret_restart,
			  struct loader_report *ret_report) MUST_USE;
/* Callers are no longer held; frees @restart. Accepts NULL. */
void loader_restart_drop(struct loader_restart *restart);
/* From now on callers are held. Result: 0, or the gate's -errno and nothing changed. */
int loader_restart_hold(struct loader_restart *restart) MUST_USE;
/* Text of the cell: nobody may be in it when the state is reset. */
void loader_restart_range(const struct loader_restart *restart, uint64_t *ret_start,
			  uint64_t *ret_end);
/* The state is fresh. Other CPUs are parked; allocates nothing, takes no lock. */
void loader_restart_reset(struct loader_restart *restart);
/* Undo of reset, in the same context. */
void loader_restart_undo(struct loader_restart *restart);
/* Calls the cell's init, after reset, in a task. Result: 0, or its -errno. */
int loader_restart_init(struct loader_restart *restart) MUST_USE;

#endif
