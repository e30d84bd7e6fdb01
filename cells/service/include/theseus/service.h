/* SPDX-License-Identifier: MIT */
/*
 * Services: long-running work without endless loops. A runner task calls step() through the
 * service's slot, so that after a swap the next step is the new code's. Between steps no
 * frame of the service is on the stack.
 *
 * CELL_PROVIDE(service_ops, agent) = { .init = …, .step = …, .fini = …, };
 */
#ifndef THESEUS_SERVICE_H
#define THESEUS_SERVICE_H

#include <theseus/task.h>

enum service_then {
	SERVICE_WAIT = 0,  /* until service_wake() or the deadline */
	SERVICE_AGAIN = 1, /* more to do: after others had their turn */
	SERVICE_DONE = 2,  /* fini() is called and the runner ends */
};

struct service_next {
	enum service_then then;
	uint64_t deadline_ns; /* SERVICE_WAIT: CLOCK_NEVER, or a time of clock_now_ns() */
};

static inline struct service_next service_wait(uint64_t deadline_ns)
{
	return (struct service_next){.then = SERVICE_WAIT, .deadline_ns = deadline_ns};
}
static inline struct service_next service_again(void)
{
	return (struct service_next){.then = SERVICE_AGAIN};
}
static inline struct service_next service_done(void)
{
	return (struct service_next){.then = SERVICE_DONE};
}

enum service_cpu {
	SERVICE_ANY_CPU = 0,
	SERVICE_BOOT_CPU, /* one runner, on CPU 0 */
	SERVICE_EACH_CPU, /* one runner a CPU, bound to it; service_self() tells which */
};

struct service_ops {
	/* Once, in the (first) runner, before the first step; never after a swap. May be NULL. */
	int (*init)(void);
	/* Some work. May block in blocking exports. A fault in it fails this service alone. */
	struct service_next (*step)(void);
	/* After the last step, in the last runner. Not called after a fault. May be NULL. */
	void (*fini)(void);
	/*
	 * How it is, by its own judgement: 0, or -errno. Called by whoever asks (service_at), in
	 * his task, also during a step: short, and without waiting. May be NULL.
	 */
	int (*health)(void);
	enum service_cpu cpu;
	uint32_t stack_bytes; /* of the runner; 0 = SERVICE_STACK_DEFAULT */
	/* A step that takes longer, waiting included, has missed its deadline; 0 = none. */
	uint64_t step_limit_ns;
};
IFACE_DEFINE(service_ops);

#define SERVICE_STACK_DEFAULT (32u << 10)
#define SERVICES_MAX 64u

/*
 * Starts a runner for every provider of service_ops that has none: at boot by the loader,
 * after task_start(); again by whoever loads cells later. A failed or done service is not
 * started again. Result: 0, or the first -errno after having tried all. Context: tasks.
 */
int service_start_all(void) MUST_USE;

/*
 * Makes the service step again soon. Any context, interrupt handlers included. A wake during
 * a step is not lost: the next SERVICE_WAIT returns at once. All runners of it are woken.
 * Result: 0, -ENOENT (it has no runner).
 */
int service_wake(struct service_ops_h service);

/*
 * Ends a service: its step is not called again, fini() is, and the runner ends. For whoever
 * unloads cells, before the slot is vacated; if the slot is vacated without it, the runner
 * ends without fini(). Waits until @deadline_ns. Blocking export. Result: 0, -ENOENT, -ETIMEDOUT,
 * -ECANCELED.
 */
int service_stop(struct service_ops_h service, uint64_t deadline_ns) MUST_USE;

struct service_self {
	struct service_ops_h service; /* {0}: the caller is not a step */
	unsigned instance;            /* SERVICE_EACH_CPU: its CPU; else 0 */
};
struct service_self service_self(void);

enum service_state {
	SERVICE_STARTING = 1,
	SERVICE_RUNNING,
	SERVICE_FAILED,  /* a step faulted, or init returned an error */
	SERVICE_STOPPED, /* done, stopped, or its provider left */
};

struct service_info {
	char name[CELL_NAME_MAX]; /* the provider's */
	struct service_ops_h service;
	enum service_state state;
	int error;      /* of init, -EFAULT after a fault; 0 */
	uint64_t fault; /* id of the record; 0 = none */
	uint64_t steps, wakes;
	uint32_t runners;
	int health;          /* what health() said, -EFAULT if it faulted; 0 without one */
	bool overdue;        /* a step runs now that has missed its deadline */
	uint64_t late;       /* steps that ended after their deadline */
	uint64_t longest_ns; /* the longest step, of a service that has a deadline */
};

const char *service_state_name(enum service_state state);
/* The @index-th service; -ENOENT past the end. */
int service_at(uint32_t index, struct service_info *ret_info) MUST_USE;
/* How many are in SERVICE_FAILED: the system's health. */
unsigned service_failed(void);

#endif
