/* SPDX-License-Identifier: MIT */
/* Benchmarks that need tasks of their own, on a certain CPU. */
#ifndef BENCH_INTERNAL_H
#define BENCH_INTERNAL_H

#include <theseus/bench.h>
#include <theseus/channel.h>

#define BENCH_CROWD_MAX 10000u

/* Two channels between the task that measures and its peer. */
struct bench_link {
	struct channel_end ask, asked;       /* sent to the peer, received by it */
	struct channel_end answer, answered; /* the way back */
};

/* What two tasks hand to each other, each with the event that tells it so. */
struct bench_turn {
	uint32_t whose; /* 0: the task that measures; 1: its peer */
	struct task_event handed[2];
};

struct bench_state {
	uint32_t busy; /* a benchmark is running */
	uint32_t stop; /* the crowd shall end */
	struct task_event stopped;
	struct spinlock lock; /* is measured; protects nothing */
	uint32_t crowd_n;
	uint32_t reserved;
	struct bench_switches switches;
	struct bench_link link;
	struct bench_turn turn;
	struct task_ref *crowd; /* of the heap; NULL: none */
};
struct bench_state *bench_state(void);

/* The CPU that benchmarks run on: not the one that devices interrupt, where there are two. */
unsigned bench_cpu(void);
/* Another one. Result: -ENODEV where there is none. */
int bench_other_cpu(void);

/*
 * Runs @entry with the address @arg as its argument in a task on @cpu and waits for it.
 * Result: what it returned, or -EFAULT.
 */
int bench_on(unsigned cpu, struct task_ops_h entry, void *arg) MUST_USE;
/* The same with a higher claim to its CPU than other tasks have. */
int bench_on_urgently(unsigned cpu, struct task_ops_h entry, void *arg) MUST_USE;

/* ---- the crowd: tasks that are part of what is measured ---- */

/*
 * @n tasks on @cpu. They end when bench_stopping() says so, or as killed. Result: 0; -errno,
 * and there is no crowd. One crowd at a time.
 */
int bench_crowd(uint32_t n, unsigned cpu, struct task_ops_h entry, uint64_t arg) MUST_USE;
bool bench_stopping(void);
void bench_dismiss_crowd(void); /* none is fine */

/* Crowds that are blocked, yield all the time, or never give way. */
int bench_crowd_blocked(uint32_t n, unsigned cpu) MUST_USE;
int bench_crowd_yielding(uint32_t n, unsigned cpu) MUST_USE;
int bench_crowd_spinning(uint32_t n, unsigned cpu) MUST_USE;

#endif
