/* SPDX-License-Identifier: MIT */
/*
 * The Linux side of `theseusctl bench`: one row a function, timed like the guest's
 * (theseus/bench.h), each in a process of its own.
 */
#ifndef BENCH_LINUX_H
#define BENCH_LINUX_H

#include <pthread.h>
#include <theseus/bench.h>

#define CALLS 1000u  /* operations a sample, where one is too short to be timed */
#define SWITCHES 64u /* a sample, or every thread once where they are more */

struct linux_row {
	const char *name;
	int (*run)(struct bench *b); /* 0, -errno */
};

/* Each ends with a NULL name. */
extern const struct linux_row channel_rows[], file_rows[], heap_rows[], memory_rows[], task_rows[],
	wake_rows[];

/* The CPUs that rows run on: where the guest's vCPU 1 finds its like, and another (-1: none). */
int linux_cpu(void);
int linux_other_cpu(void);

/* Starts a thread on @cpu. Result: 0, -errno. */
int linux_thread(int cpu, void *(*fn)(void *), void *arg, pthread_t *ret_thread);
int linux_pin(int cpu);

/* For what cannot go wrong in a sane process: says @what and ends it. */
void linux_die(const char *what) __attribute__((noreturn));

/*
 * The shortest switch between two stacks: saves what the ABI says a function keeps, and the
 * stack pointer in *@from; goes on with @to.
 */
void minimal_switch(void **from, void *to);
/* A stack whose first switch calls fn(arg), which must not return. Result: its pointer. */
void *minimal_stack(void *bottom, size_t bytes, void (*fn)(void *), void *arg);

#endif
