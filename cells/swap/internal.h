/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_SWAP_INTERNAL_H
#define THESEUS_SWAP_INTERNAL_H

#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/service.h>
#include <theseus/swap.h>

/* Bounds of code, listed in a heap block or an object: nowhere that the scan looks. */
struct swap_ranges {
	uint32_t n;
	struct task_range list[LOADER_RANGES_MAX];
};

/* A transaction: a typed object. Kept until the next one is staged. */
struct swap_transaction {
	struct swap_result result;
	struct swap_options options;
	struct swap_watch_ops_h watcher;
	struct loader_stage *stage; /* owned; NULL when it is over */
	struct loader_report report;
	uint64_t run_ns;      /* swap_start() */
	uint64_t deadline_ns; /* of the commit */
	uint64_t try_ns;      /* wait before the next try */
	uint64_t released_ns;
	int init_error; /* of a new cell: the commit is taken back */
	/* Old code. Here and not on the runner's stack, where the scan would find its bounds. */
	struct swap_ranges old;
	uint32_t n_idle; /* the first so many of them nobody may be in */
	struct loader_change changes[SWAP_CHANGES_MAX];
};

SPINLOCK_ROLE(swap_results);

struct swap_cell_state {
	struct spinlock lock; /* swap_results: also the result of the newest */
	struct heap_type type;
	uint64_t last_id;
	struct handle newest GUARDED_BY(swap_results); /* the transaction staged last */
	/* of those before it, newest first; id 0 = none */
	struct swap_result history[SWAP_HISTORY] GUARDED_BY(swap_results);
	uint64_t active;               /* id that the runner works on; 0 = none */
	uint32_t holding;           /* atomic: callers of a cell that is restarted wait */
	struct task_event released; /* they may go on */
	struct task_range inside;   /* text of that cell; not on a stack, as above */
	struct task_hit hit;        /* who is in it; nor this */
	struct mapped boot_stack;      /* until its last user has left */
	struct task_ref boot;
};

struct swap_cell_state *swap_cell(void);

/* The newest transaction if it is @id, else NULL. Stays while it runs; else hold the lock. */
struct swap_transaction *swap_find(uint64_t id) REQUIRES(swap_results);

/* Where @addr lies, for messages. */
struct loader_location swap_place_of(uint64_t addr);
/* Makes @report one reason, for people; @code is a stable word. */
void swap_set_reason(struct loader_report *report, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What @stage makes obsolete, or made. */
void swap_list_old(const struct loader_stage *stage, struct swap_ranges *ret_ranges);

/* quarantine.c: frees what nobody is in any more. The swap service, with no transaction. */
void swap_quarantine_look(void);
/* Result: 0: nobody is in @ranges; 1: *ret_hit is; -errno: the other CPUs do not park. Waits of
 * tasks that are in there are broken off. */
int swap_find_inside(const struct swap_ranges *ranges, struct task_hit *ret_hit) MUST_USE;

/* One step of the transaction; see run.c. */
struct service_next swap_step(void);
void swap_wake(void);

#endif
