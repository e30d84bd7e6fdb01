/* SPDX-License-Identifier: MIT */
#ifndef TASK_INTERNAL_H
#define TASK_INTERNAL_H

#include <theseus/ledger.h>
#include <theseus/mapped.h>
#include <theseus/switch.h>
#include <theseus/task.h>
#include <theseus/upcall.h>

#include "wait.h"

enum kill {
	KILL_NONE = 0,
	KILL_ASKED = 1,
	KILL_TOLD = 2, /* the task has seen it once; its next kill point is its end */
};

struct task {
	struct task_head head; /* first: percpu.task */
	/* what a switch touches, together: with thousands of tasks it is in no cache */
	struct switch_context ctx;
	uint32_t slot;
	uint32_t cpu;      /* last one */
	uint64_t affinity; /* atomic */
	int32_t priority;
	uint32_t overdue; /* atomic: killed, and its grace is over */
	uint64_t cpu_time_ns, switches;
	bool idle; /* a CPU's idle task: in no slot, never blocked */
	struct wait wait;
	struct task_tls tls;
	uint32_t generation;
	uint32_t state;    /* enum task_state, atomic */
	uint32_t restarts; /* so far */
	uint32_t restarts_max;
	uint64_t backoff_ns; /* before the next one */
	struct task_ops_h entry;
	uint64_t arg;
	struct cell_ref owner;
	bool detached;
	bool started;
	bool unclean; /* its stack holds words that a scan found: set while it does not run */
	uint64_t joiner; /* under the table's lock: task that waits for it in task_join(), or 0 */
	uint32_t killed; /* enum kill, atomic */
	bool over;       /* its code has come to its end, and the ledger is at work */
	uint32_t ending; /* enum task_end: decided, while its stack unwinds; 0 = not */
	struct task_exit exit;
	struct task_event exited;
	struct mapped stack;
	struct task *next; /* of detached ones that ended, of condemned, of spare or of worn ones */
	uint32_t scans; /* tasks.scans when it became a spare one */
	struct task *kill_next;
	uint64_t grace_ns, kill_deadline_ns;
};

enum idle_state {
	IDLE_AWAKE = 0,   /* runs something, or has been told to look */
	IDLE_POLLING = 1, /* looks at this word: telling it costs nothing */
	IDLE_HALTED = 2,  /* needs an interrupt */
};

struct task_cpu {
	struct task *idle;
	uint32_t sleeping; /* enum idle_state, atomic */
	uint32_t cpu;
	uint64_t poll_ns;          /* how long the idle task looks before it halts. This CPU only */
	uint64_t wake_ns;          /* what it took to wake it from a halt, of late. This CPU only */
	uint64_t woken_ns;         /* when it was told to last. Atomic */
	uint64_t switches;         /* to tasks. This CPU only */
	uint64_t switches_at_tick; /* when the tick was armed */
	bool moving;               /* there were some between the two ticks before */
	bool online;               /* it has begun to take upcalls */
	uint64_t since_ns;         /* when the running task got it */
	uint64_t armed_ns; /* when the timer fires next; CLOCK_NEVER = not armed. This CPU only */
	uint64_t tick_ns;  /* when to look at the slice; CLOCK_NEVER = no need. This CPU only */
	struct spinlock timer_lock;
	struct timer_queue timers;
	struct spinlock spare_lock;
	uint32_t n_spare, n_worn;
	struct task *spare; /* records with a stack of the default size */
	struct task *worn;  /* records whose stacks will be dropped together */
};

#define LEDGERS_MAX 32u /* cells that keep things for tasks; more are not told */

/* Who provides ledger_ops. */
struct ledgers {
	struct spinlock lock;
	uint64_t generation; /* + 1, in which they were looked up; 0 = never */
	uint32_t n;
	struct ledger_ops_h handles[LEDGERS_MAX];
};

/* Keys of values of each task. */
struct locals {
	struct spinlock lock;
	uint32_t used; /* bit n: key n is in use */
	uint32_t generations[TASK_LOCALS_MAX];
	struct task_local_ops_h drops[TASK_LOCALS_MAX];
};

/* Slots come in chunks that stay: a handle is looked up without a lock. */
#define CHUNK_SLOTS 256u

struct task_chunk {
	struct task *tasks[CHUNK_SLOTS]; /* NULL: free */
	uint32_t generations[CHUNK_SLOTS];
	uint32_t next_free[CHUNK_SLOTS]; /* slot + 1 behind it in the list of free ones */
};

struct tasks {
	struct spinlock lock; /* chunks, n, reap */
	uint32_t scans;       /* how often somebody looked who is in code that is replaced; atomic */
	struct task_chunk *chunks[TASKS_MAX / CHUNK_SLOTS];
	uint32_t n_slots;               /* in all chunks */
	uint32_t first_free, last_free; /* slot + 1; the one free longest is taken first */
	uint32_t n;
	uint32_t started; /* task_start() was called */
	struct task *reap;
	struct task *kills;     /* killed, not ended yet; under the lock */
	uint64_t kills_next_ns; /* when the grace of the first of them is over; 0 = none; atomic */
	struct task *condemned; /* for the reaper; under the lock */
	struct task_event condemn;
	struct sched_ops_h sched;
	unsigned resched_vector;
	struct ledgers ledgers;
	uint64_t by_ledger; /* tasks that ended so; atomic */
	struct locals locals;
	struct spinlock grow; /* one at a time makes more slots */
	struct task_cpu cpus[GATE_MAX_CPUS];
};

/* Where this code's state is. */
struct tasks *tasks(void) __attribute__((const));

/* The task in a slot that is or was in use. */
static inline struct task *task_in(uint32_t slot)
{
	const struct task_chunk *chunk =
		__atomic_load_n(&tasks()->chunks[slot / CHUNK_SLOTS], __ATOMIC_ACQUIRE);

	return chunk->tasks[slot % CHUNK_SLOTS];
}

/* The running task; NULL before task_start(). */
static inline struct task *current(void)
{
	return (struct task *)(void *)percpu_read(task);
}

/* ---- record.c: records and slots ---- */
/* A record in state initing with a stack, in no slot. Result: 0, -ENOMEM. */
int record_create(const char *name, size_t stack_bytes, struct task **ret_task) MUST_USE;
/* Keeps it for the next one of its size, if there is room. */
void record_free(struct task *task);
/* Gives it a slot and thereby an id. Result: 0, -EAGAIN, -ENOMEM. Not under locks. */
int record_enter(struct task *task) MUST_USE;
/* Under tasks()->lock. NULL: stale. */
struct task *record_find(struct task_ref ref);
/* Frees an ended task once its CPU has left its stack. Not under locks. */
void record_reap(struct task *task);
void record_reap_detached(void);

/* ---- run.c: who runs ---- */
/* Only masked at depth 1. The running task goes into a queue... */
void run_others(enum sched_why why);
/* ... or does not: it is blocked, or somebody has already made it runnable again. */
void run_blocked(void);
/* @task became runnable. Any context. */
void run_wake(struct task *task, enum sched_why why);
/* Makes the timer fire at @deadline_ns or before. Masked. */
void run_arm(struct task_cpu *cpu, uint64_t deadline_ns);
/* @task may run elsewhere from now on: it does so at once. Under tasks()->lock, masked. */
void run_move(struct task *task);
/* The slots below @slots will be used. Result: 0, -ENOMEM. */
int run_reserve(uint32_t slots) MUST_USE;
/* A CPU comes to its idle task: the first time it counts as online from here on. */
void run_new_cpu(void);
/* The body of idle tasks. */
int64_t run_idle(void);
int run_init(void) MUST_USE;

/* ---- sleep.c ---- */
/* Ends a wait of @task if it waits. Any context. */
bool sleep_end(struct task *task, int result);
/* Deadlines of this CPU that have come. Result: the next one. Masked. */
uint64_t sleep_expire(struct task_cpu *cpu, uint64_t now_ns);

/* ---- local.c ---- */
/* Drops what the task, which has ended, has behind keys. A task at depth 0; may block. */
void local_drop_all(struct task *task);

/* ---- ledger.c ---- */
/* Tells every cell that keeps things for tasks. A task at depth 0; may block. */
void ledger_task_ended(uint64_t task);

/* ---- commands.c ---- */
struct command_io;
void task_print(struct command_io *io, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- kill.c ---- */
/* Under tasks()->lock: nothing more is to be done about it. */
void kill_forget(struct task *task);
/* By the timer. Result: when to call again. */
uint64_t kill_expire(uint64_t now_ns);
/* The running task is preempted. True: it shall not run again, and the reaper has it. Masked. */
bool kill_condemn(struct task *task);
/* Starts the reaper. */
int kill_start(void) MUST_USE;

/* ---- life.c ---- */
void life_end(enum task_end end, int64_t value, uint64_t fault) __attribute__((noreturn));
/*
 * Whether the running task is to end. What its cleanups and the ledger wait for they get all
 * the same.
 */
bool life_cancelled(const struct task *task);
/*
 * A kill point of the running task. Result: 0; -ECANCELED: it was killed and has not been told
 * before. Does not return when it has. At depth 0.
 */
int life_kill_point(void);
/*
 * Under tasks()->lock: the task of @ref, for who joins or detaches it. Result: 1 = it has ended and
 * is the caller's to reap; 0 = it has not; -ESTALE; -EINVAL (it is detached); -EBUSY (another task
 * waits for it in task_join()).
 */
int life_claim(struct task_ref ref, struct task **ret_task) MUST_USE;
/* @task has ended, and the ledger was at work: its joiner wakes. */
void life_publish(struct task *task, struct task_exit exit);
/* Makes the task begin at its entry when it runs next; what is on its stack is forgotten. */
void life_prepare(struct task *task);

#endif
