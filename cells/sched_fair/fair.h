/* SPDX-License-Identifier: MIT */
/*
 * Earliest eligible virtual deadline first. Pure but for the lock; integers only.
 *
 * A task of weight w that ran for t ns has advanced by t * 1024 / w of virtual time `v`. The
 * queue's virtual time V is the weighted mean of all who are queued or run. Who lags behind
 * it (v <= V) has got less than its share and may run; of those the one with the earliest
 * deadline does, which is where v is after one more slice. What a task is behind or ahead is
 * kept while it sleeps, at most one slice of it, and taken along to another CPU.
 *
 * Priority p has weight 1024 * 1.25^p.
 */
#ifndef SCHED_FAIR_H
#define SCHED_FAIR_H

#include <theseus/sched.h>
#include <theseus/spinlock.h>

#include "../sched/place.h"

#define FAIR_SLICE_NS 5000000ull
#define FAIR_TICK_MIN_NS 500000ull /* shorter rests of a slice are not worth an interrupt */
#define FAIR_WEIGHT 1024           /* of priority 0 */
#define FAIR_CHUNK 256u

enum fair_status {
	FAIR_AWAY = 0, /* blocked, or not seen yet */
	FAIR_QUEUED,
	FAIR_RUNNING,
};

struct fair_slot {
	/* tree.h; slot + 1, 0 = none */
	uint32_t left, right, parent;
	uint32_t rank;    /* heap order of the tree */
	int64_t low_v;    /* least v in this subtree */
	uint64_t reach;   /* all affinities in this subtree */
	int64_t v;        /* of status AWAY: V - v instead */
	int64_t deadline; /* relative to the same origin as v; AWAY: deadline - v */
	uint64_t order;   /* of equal deadlines the one that came first */
	uint64_t affinity;
	int32_t weight;
	uint16_t cpu; /* QUEUED, RUNNING: where */
	uint16_t status;
};

struct fair_chunk {
	struct fair_slot slots[FAIR_CHUNK];
};

/* slot + 1; 0 = empty */
struct fair_tree {
	uint32_t root;
	uint32_t first, last; /* the ends of its order */
};

struct fair_queue {
	struct fair_tree tree;
	uint32_t running; /* slot + 1 of what was picked last; 0 = nothing */
	int64_t origin;   /* where the sum counts from; close to V */
	int64_t sum;      /* of weight * (v - origin), who runs included */
	int64_t weight;   /* of all, who runs included */
	uint64_t order;
};

struct fair {
	struct spinlock lock;
	struct sched_place place;
	struct fair_chunk *chunks[TASKS_MAX / FAIR_CHUNK];
	uint32_t n_slots;
	uint32_t random;
	struct fair_queue queues[GATE_MAX_CPUS];
};

static inline struct fair_slot *fair_slot_of(struct fair *f, uint32_t slot)
{
	return &f->chunks[slot / FAIR_CHUNK]->slots[slot % FAIR_CHUNK];
}

/* Result: 0, -EINVAL. */
int fair_start(struct fair *f, unsigned cpus) MUST_USE;
/* Takes over a zeroed @chunk for the next slots. */
void fair_add(struct fair *f, struct fair_chunk *chunk);
/* As struct sched_ops. A task already queued stays where it is. */
unsigned fair_enqueue(struct fair *f, const struct sched_task *task, enum sched_why why,
		      unsigned here);
int fair_replace(struct fair *f, const struct sched_task *task, enum sched_why why, unsigned cpu,
		 unsigned *ret_where);
void fair_blocked(struct fair *f, const struct sched_task *task, unsigned cpu);
int fair_dequeue(struct fair *f, uint32_t slot);
int fair_pick(struct fair *f, unsigned cpu);
bool fair_contended(struct fair *f, unsigned cpu);
uint64_t fair_tick(struct fair *f, unsigned cpu, uint64_t ran_ns);
int fair_helper(struct fair *f, unsigned cpu);
unsigned fair_queued(struct fair *f, unsigned cpu);

#endif
