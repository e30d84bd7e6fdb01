/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's queues: one a CPU, first in first out, linked by task slot. Pure but for
 * the lock: every call is one critical section of a few dozen instructions.
 */
#ifndef SCHED_RR_QUEUE_H
#define SCHED_RR_QUEUE_H

#include <theseus/sched.h>
#include <theseus/spinlock.h>

#define RR_SLICE_NS 10000000ull
#define RR_NONE 0xffffu

struct rr_queue {
	uint16_t first, last; /* slots; RR_NONE = empty */
	uint16_t n;
	uint16_t idle; /* its CPU found nothing the last time it looked */
};

struct rr_state {
	struct spinlock lock;
	uint32_t cpus;
	struct rr_queue queues[GATE_MAX_CPUS];
	uint16_t next[TASKS_MAX];     /* slot behind; RR_NONE */
	uint16_t queue[TASKS_MAX];    /* CPU whose queue it is in; RR_NONE = in none */
	uint64_t affinity[TASKS_MAX]; /* as it was enqueued */
};

/* Result: 0, -EINVAL. */
int rr_start(struct rr_state *rr, unsigned cpus) MUST_USE;
/* As struct sched_ops. A task already queued, or not known to fit any CPU, is put on @here. */
unsigned rr_enqueue(struct rr_state *rr, const struct sched_task *task, enum sched_why why,
		    unsigned here);
int rr_dequeue(struct rr_state *rr, uint32_t slot);
int rr_pick(struct rr_state *rr, unsigned cpu);
bool rr_contended(struct rr_state *rr, unsigned cpu);
uint64_t rr_tick(struct rr_state *rr, unsigned cpu, uint64_t ran_ns);
unsigned rr_queued(struct rr_state *rr, unsigned cpu);

#endif
