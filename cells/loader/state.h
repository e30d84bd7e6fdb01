/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_LOADER_STATE_H
#define THESEUS_LOADER_STATE_H

#include <theseus/spinlock.h>

#include "namespace.h"

#define LOADER_MARKS_MAX 96u

struct loader_mark {
	char name[LOADER_MARK_NAME];
	uint64_t tsc;
};

SPINLOCK_ROLE(loader_names);
SPINLOCK_ROLE(loader_slots);

/*
 * A commit happens while every other CPU is parked at mask depth 0, so whoever holds the
 * lock sees one generation from beginning to end. What a stage needs it reads without: who
 * made `busy` 1 is the only one who changes anything.
 */
struct loader_state {
	struct spinlock lock;        /* loader_names: keeps the namespace while it is read */
	struct namespace *namespace; /* what runs */
	struct namespace *spare;    /* memory for the next one: namespace_free() */
	struct namespace *retiring; /* after a commit, until it is finalised: for loader_locate() */
	/* the one that exists */
	struct loader_stage *stage GUARDED_BY(loader_names);
	/* Over, but tasks are still in what they made obsolete; oldest first. Written by the swap
	   service under the lock. */
	struct loader_stage *quarantine;
	uint32_t locating;          /* between reader_begin() and reader_end() */
	uint32_t busy;              /* a stage exists or is being made */
	uint32_t slot_pages;        /* of IFACE_TABLE that are mapped */
	uint32_t slot_pages_sealed;
	/* loader_slots: what is in quarantine may give slots and stubs while a stage takes some */
	struct spinlock slots_lock;
	uint32_t slot_bit_pages GUARDED_BY(loader_slots);    /* that slots_maybe_free has bits for */
	uint64_t *slots_maybe_free GUARDED_BY(loader_slots); /* slots.c; owned */
	struct stub_block *stubs; /* newest first */
	uint32_t n_stubs;         /* that there is room for */
	uint32_t n_stubs_free GUARDED_BY(loader_slots);
	uint32_t n_marks;
	struct loader_mark marks[LOADER_MARKS_MAX];
};

/* The cell's state: one for all its files. */
struct loader_state *loader_state(void);

/*
 * Around a look at the namespaces without the lock: masked, so that the count falls in bounded
 * time. Who frees one waits until nobody looks.
 */
static inline void reader_begin(struct loader_state *s)
{
	upcall_mask();
	__atomic_add_fetch(&s->locating, 1, __ATOMIC_SEQ_CST);
}

static inline void reader_end(struct loader_state *s)
{
	__atomic_sub_fetch(&s->locating, 1, __ATOMIC_RELEASE);
	upcall_unmask();
}

/* Notes when a step of the boot ended: "WHAT CELL". */
void loader_mark(const char *what, const char *cell);

#endif
