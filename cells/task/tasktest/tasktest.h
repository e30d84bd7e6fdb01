/* SPDX-License-Identifier: MIT */
/*
 * A cell that tests tasks, upcalls and services from within the guest. Not part of any
 * system: it is loaded behind them, prints TAP lines to COM1 and ends the VM.
 */
#ifndef TASKTEST_H
#define TASKTEST_H

#include <theseus/service.h>
#include <theseus/task.h>
#include <theseus/upcall.h>

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says what failed and where; the test goes on and is "not ok". */
void fail_at(const char *what, unsigned line);
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_at(#condition, __LINE__);                                             \
	} while (0)
/* Says both values. */
void check_equal_at(int64_t got, int64_t want, const char *what, unsigned line);
#define CHECK_EQUAL(got, want) check_equal_at((int64_t)(got), (int64_t)(want), #got, __LINE__)

struct test {
	const char *name;
	void (*run)(void);
	unsigned cpus; /* needed; with fewer it is skipped */
};

/* The entry of the tasks that tests spawn: calls the function with that number. */
enum role {
	ROLE_RETURN,  /* its argument */
	ROLE_AGAIN,   /* counts, until 1000 */
	ROLE_FOREVER, /* counts, until it is killed */
	ROLE_EXIT,    /* by task_exit() */
	ROLE_NULL,    /* faults of all kinds */
	ROLE_DIVIDE,
	ROLE_UD,
	ROLE_GP,
	ROLE_OVERFLOW,
	ROLE_JUMP,
	ROLE_WAIT,      /* on shared.event; returns what the wait returned */
	ROLE_WAIT_LONG, /* the same with a deadline far away */
	ROLE_SLEEP,
	ROLE_PING,
	ROLE_PONG,
	ROLE_SPIN,      /* counts in a loop without calls, until shared.stop */
	ROLE_REGISTERS, /* checks that all registers keep their values, until shared.stop */
	ROLE_MASKED,    /* masks upcalls until shared.stop */
	ROLE_TIME,      /* clock is monotonic between CPUs */
	ROLE_CANARY,
};

#define ROLES_AT_ONCE 8u
#define ROLE_ARG(role, n) ((uint64_t)(n) << 8 | (role))

struct shared {
	struct task_event event, reply;
	uint32_t stop;
	uint32_t started;
	uint64_t counts[ROLES_AT_ONCE];
	uint64_t bad; /* wrong values that tasks saw */
	uint64_t newest_ns;
	uint64_t victim;    /* id of the task whose stack is watched */
	uint64_t stack_low; /* lowest stack pointer that a handler ran on there */
	uint32_t handled;
	uint32_t handler_faults; /* so many from now on */
	struct irq_ops_h timer;  /* the task cell's handler */
	uint32_t failed_checks;
	uint32_t stopped_service_fini, wakes_seen;
	unsigned vector;
	struct task_range ranges[2]; /* not on a stack, where a scan would find them */
};
extern struct shared *shared(void);
void shared_reset(void);

/* Spawns a task in a role. 0 cpu mask = any. Failing is fatal. */
struct task_ref start(enum role role, uint64_t n, uint64_t affinity);
/* Joins within 10 s. */
struct task_exit finish(struct task_ref task);
void stop_all(void);
/* Copies the listing's row of @task; fails the test when there is none. */
struct task_info info_of_task(struct task_ref task);
/* Waits up to 10 s until *@word reaches @least, yielding. */
bool reaches(const uint64_t *word, uint64_t least);

void faulty(enum role role);
int64_t registers_role(uint64_t n); /* registers.S */

extern const struct test life_tests[], fault_tests[], irq_tests[], service_tests[];
extern const unsigned n_life_tests, n_fault_tests, n_irq_tests, n_service_tests;

#endif
