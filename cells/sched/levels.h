/* SPDX-License-Identifier: MIT */
/*
 * Queues of fixed levels, for each CPU: the highest level first, within it first in, first
 * out. One level is round robin; 32 are fixed priorities. Pure but for the lock: every call
 * is one critical section whose length does not depend on the number of tasks.
 *
 * No level starves: one that was passed over LEVELS_PATIENCE times is picked from next. As a
 * slice ends when anybody waits, that is at least one slice in LEVELS_PATIENCE + 1.
 */
#ifndef SCHED_LEVELS_H
#define SCHED_LEVELS_H

#include <theseus/sched.h>
#include <theseus/spinlock.h>

#include "place.h"

#ifndef SCHED_LEVELS
#error "SCHED_LEVELS: how many levels this scheduler has, 1..32"
#endif

#define LEVELS_SLICE_NS 10000000ull
#define LEVELS_PATIENCE 64u
/* So many of a list are looked at for one that another CPU may take. */
#define LEVELS_LOOK 8u
#define LEVELS_CHUNK 256u

struct levels_slot {
	uint32_t next, before; /* slot + 1 of the neighbours; 0 = none */
	uint32_t queue;        /* CPU + 1 whose queue it is in; 0 = in none */
	uint32_t level;
	uint64_t order; /* among all of its queue */
	uint64_t affinity;
};

struct levels_chunk {
	struct levels_slot slots[LEVELS_CHUNK];
};

struct levels_list {
	uint32_t first, last; /* slot + 1; 0 = empty */
};

/* What only this CPU may run lies apart: who looks for work must not have to step over it. */
enum levels_kind {
	LEVELS_BOUND,
	LEVELS_MOVABLE,
	LEVELS_KINDS,
};

struct levels_queue {
	uint32_t n_movable;
	uint32_t used;   /* bit n: level n is not empty */
	int32_t running; /* level of what was picked last; -1 = nothing */
	uint64_t order;
	struct levels_list lists[SCHED_LEVELS][LEVELS_KINDS];
	uint8_t passed[SCHED_LEVELS];
};

struct levels {
	struct spinlock lock;
	struct sched_place place;
	struct levels_chunk *chunks[TASKS_MAX / LEVELS_CHUNK];
	uint32_t n_slots;
	struct levels_queue queues[GATE_MAX_CPUS];
};

/* Result: 0, -EINVAL. */
int levels_start(struct levels *l, unsigned cpus) MUST_USE;
/* Takes over a zeroed @chunk for the next slots. Result: how many there are now. */
uint32_t levels_add(struct levels *l, struct levels_chunk *chunk);
/* As struct sched_ops. A task already queued stays where it is. */
unsigned levels_enqueue(struct levels *l, const struct sched_task *task, enum sched_why why,
			unsigned here);
int levels_replace(struct levels *l, const struct sched_task *task, enum sched_why why,
		   unsigned cpu, unsigned *ret_where);
int levels_dequeue(struct levels *l, uint32_t slot);
int levels_pick(struct levels *l, unsigned cpu);
bool levels_contended(struct levels *l, unsigned cpu);
uint64_t levels_tick(struct levels *l, unsigned cpu, uint64_t ran_ns);
int levels_helper(struct levels *l, unsigned cpu);
unsigned levels_queued(struct levels *l, unsigned cpu);

#endif
