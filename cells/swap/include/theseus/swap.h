/* SPDX-License-Identifier: MIT */
/*
 * Swap: applies a staged bundle as a transaction, DESIGN.md §7.
 *
 * A transaction is a typed object, and a service (`swap`) takes it one step further each time
 * it is called, so that the cell that asked, this cell and the loader may all be among what
 * is replaced: whoever asked gets a call through his slot when it is over, and looks the
 * result up by number. One transaction exists at a time, besides those that are over.
 *
 * Context: tasks. Nothing here blocks; swap_stage() takes as long as linking does.
 */
#ifndef THESEUS_SWAP_H
#define THESEUS_SWAP_H

#include <theseus/loader.h>

/*
 * Steps, each with what undoes it and what holds afterwards:
 *   STAGED      linked beside the running system; undo: loader_stage_drop()
 *   CHECKED     the generation is the one expected and the one staged against; nothing to undo
 *   PARKED      other CPUs stand still, nobody is inside a cell that must be idle; undo: release
 *   COMMITTED   dependents, slots and namespace are the new generation's; undo: revert
 *   RELEASED    CPUs run again, new cells are initialised; undo: park and revert
 *   FINALISED   nothing points into the old code any more, or it is quarantined; no way back
 *   REVERTED    the old cells run again; tasks leave the new ones, then it is CANCELLED
 * REFUSED: a check said no, nothing was changed. CANCELLED: undone; see the report.
 *
 * Quarantine: a task computes in code that the swap made obsolete, or its stack holds a word
 * that points there. That code stays mapped for as long. Whether it has left is looked at after
 * each swap and when swap_reclaim() asks for it; nothing waits for it.
 */
enum swap_state {
	SWAP_STAGED = 1,
	SWAP_CHECKED,
	SWAP_PARKED,
	SWAP_COMMITTED,
	SWAP_RELEASED,
	SWAP_FINALISED,
	SWAP_REVERTED,
	SWAP_REFUSED,
	SWAP_CANCELLED,
	_SWAP_STATE_MAX,
	_SWAP_STATE_INVALID = -22,
};

/* Over: the result will not change any more. A dry run ends as CHECKED and stays staged. */
static inline bool swap_is_over(enum swap_state state)
{
	return state == SWAP_FINALISED || state == SWAP_REFUSED || state == SWAP_CANCELLED;
}

/* All zero: for real, whatever generation runs, within SWAP_TIMEOUT_NS. */
struct swap_options {
	bool dry_run; /* checks only: afterwards the transaction is STAGED again */
	bool has_expect_generation;
	uint64_t expect_generation;
	/* Until the commit, else it is cancelled. 0 = SWAP_TIMEOUT_NS. */
	uint64_t timeout_ns;
};
#define SWAP_TIMEOUT_NS 1000000000ull

struct swap_result {
	uint64_t id;
	enum swap_state state;
	bool running;           /* swap_start() was called and it is not over */
	int error;              /* of REFUSED and CANCELLED: -EPERM, -ETIMEDOUT, … */
	uint64_t generation;    /* that runs after it */
	uint64_t started_ns;    /* clock_now_ns() at swap_stage() */
	uint64_t stage_ns;      /* swap_stage() */
	uint64_t quiesce_ns;    /* swap_start() until all other CPUs stood still for the commit */
	uint64_t pause_ns;      /* first CPU parked to last CPU released, of the commit */
	uint64_t finalise_ns;   /* release until the old code was gone or in quarantine */
	uint64_t total_ns;      /* stage_ns + swap_start() until it was over */
	uint64_t bytes_freed;
	uint64_t bytes_quarantined; /* of old code, mapped until tasks have left it */
	uint32_t patches;       /* of text, rodata and slots, in the commit */
	uint32_t tries;         /* rounds of parking */
	uint32_t n_changes;
};

struct swap_watch_ops {
	/* A transaction that was given this watcher is over, or its dry run is. Called by the
	   swap service, which waits meanwhile: only wakes somebody. */
	void (*changed)(void);
};
IFACE_DEFINE(swap_watch_ops);

/*
 * Stages @bundle (borrowed for the call; hostile bytes). Result: 0 with *@ret_id; as
 * loader_stage_create(), -EBUSY when another transaction is not over: @ret_report says why.
 * Undo: swap_drop().
 */
int swap_stage(const void *bundle, size_t size, uint64_t *ret_id,
	       struct loader_report *ret_report) MUST_USE;

/* Frees a staged transaction that was not started. Result: 0, -ENOENT, -EBUSY (it runs). */
int swap_drop(uint64_t id);

/*
 * Starts a staged transaction and returns. @watcher is called when it is over; {0} = nobody.
 * Result: 0, -ENOENT, -EBUSY (it was started already).
 */
int swap_start(uint64_t id, const struct swap_options *options, struct swap_watch_ops_h watcher) MUST_USE;

/* Result: 0; -ENOENT: never was, dropped, or forgotten because newer ones came. */
int swap_result(uint64_t id, struct swap_result *ret_result) MUST_USE;
/*
 * Why the newest transaction was refused or cancelled; after a dry run, why it would be.
 * -ENOENT: @id is not the newest.
 */
int swap_report(uint64_t id, struct loader_report *ret_report) MUST_USE;
/* The @index-th change that the newest makes or made; -ENOENT past the end, too. */
int swap_change_at(uint64_t id, uint32_t index, struct loader_change *ret_change) MUST_USE;

/*
 * Has the swap service look whether tasks have left what is in quarantine, and free it then.
 * Returns at once. Any context.
 */
void swap_reclaim(void);

#define SWAP_HISTORY 8u       /* results that are remembered besides the newest transaction */
#define SWAP_CHANGES_MAX 64u

/* Result of the @index-th newest transaction that is remembered; -ENOENT past the end. */
int swap_last(uint32_t index, struct swap_result *ret_result) MUST_USE;

/* "committed", "refused", "cancelled", "staged", "running". */
const char *swap_result_word(const struct swap_result *result);

/*
 * Gives the cell @name fresh state: the one that it was linked with, then its init. Its handles,
 * slots and typed objects stay. Whoever calls a blocking export of it, or of a cell that uses
 * it, waits until this is over; waits inside it are broken off with -ERESTART_CELL; tasks that
 * are inside are waited for. Returns when it is done. Result: 0; with nothing changed and @ret_report
 * saying why: -ENOENT, -EPERM (a cell that is never restarted), -EBUSY, -ETIMEDOUT (a task stays
 * inside, or a CPU does not park), -ENOMEM, -ECANCELED (this task was killed), -EFAULT (init
 * faulted), or what init returned. @timeout_ns 0: SWAP_TIMEOUT_NS.
 * Context: a task that is not inside @name.
 */
int swap_restart(const char *name, uint64_t timeout_ns, struct loader_report *ret_report) MUST_USE;

#endif
