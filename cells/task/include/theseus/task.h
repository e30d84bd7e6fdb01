/* SPDX-License-Identifier: MIT */
/*
 * Tasks: preemptive threads with a stack and a TLS block of their own, on every CPU.
 *
 * States: initing, runnable (or running), blocked, exited, reaped. A task ends by returning
 * from its entry, by task_exit(), by a kill taken at a blocking call or between two calls of
 * its entry, or by a fault. A task that is not detached keeps its slot until it is joined.
 */
#ifndef THESEUS_TASK_H
#define THESEUS_TASK_H

#include <theseus/clock.h>
#include <theseus/sched.h>
#include <theseus/spinlock.h>

/* Handle of a task; a value. {0, 0} is none; a stale one is refused with -ESTALE. */
struct task_ref {
	uint32_t slot;
	uint32_t generation; /* never 0 */
	OWNERSHIP_TOKEN
};

/* The same as one number, as in object_owner.task and in listings. */
static inline uint64_t task_id(struct task_ref task)
{
	return (uint64_t)task.generation << 32 | task.slot;
}

/* ---- life ---- */

/*
 * A task's entry. No endless loops: run() returns TASK_AGAIN to be called again with the
 * same argument, each time through the slot, so that new code is picked up in between; any
 * other value is its exit value and ends the task. The task ends as killed when it was told
 * to, or when its provider has left.
 */
struct task_ops {
	int64_t (*run)(uint64_t arg);
};
IFACE_DEFINE(task_ops);
#define TASK_AGAIN INT64_MIN

/* With less, an interrupt could find no room at a moment when a shallow task has done no wrong. */
#define TASK_STACK_MIN (8u << 10)
#define TASK_STACK_DEFAULT (16u << 10)
#define TASK_STACK_MAX (64u << 10)
#define TASK_ANY_CPU UINT64_MAX
#define TASK_GRACE_DEFAULT CLOCK_S

enum task_restart {
	TASK_RESTART_NEVER = 0,
	TASK_RESTART_ON_FAULT = 1, /* the entry is called again with the same argument */
};

#define TASK_RESTARTS_DEFAULT 3u
#define TASK_BACKOFF_DEFAULT_NS (10 * CLOCK_MS)
#define TASK_BACKOFF_MAX_NS CLOCK_S

/* All zero: unnamed, default stack, any CPU, to be joined, not restarted. */
struct task_attr {
	const char *name;   /* copied, cut to TASK_NAME_MAX; NULL = the provider's name */
	size_t stack_bytes; /* TASK_STACK_MIN..MAX, rounded up to pages; 0 = default */
	uint64_t affinity; /* bit n: may run on CPU n; 0 = TASK_ANY_CPU. CPUs not online are ignored
			    */
	int priority;      /* SCHED_PRIORITY_MIN..MAX; 0 = normal */
	bool detached;     /* nobody joins it: reaped when it ends */
	struct cell_ref owner; /* listed with it; {0} = the provider of the entry */
	enum task_restart restart;
	unsigned restarts;   /* after so many the next fault ends it; 0 = default */
	uint64_t backoff_ns; /* before the first restart, doubled for each further one up to
				TASK_BACKOFF_MAX_NS; 0 = default */
	uint64_t grace_ns; /* from a kill until the ledger ends it; 0 = TASK_GRACE_DEFAULT */
};

/*
 * Starts a task at @entry with @arg. @attr may be NULL. Result: 0, -ENOMEM, -EAGAIN (all
 * slots taken), -EINVAL (entry is stale, no such CPU online, no such size of a stack, priority
 * or restart policy). Context: tasks.
 *
 * A task that is restarted keeps its id, its stack and its kill; what it held has been given
 * back as at its end. Who joins it gets its last end.
 */
int task_spawn(const struct task_attr *attr, struct task_ops_h entry, uint64_t arg,
	       struct task_ref *ret_task) MUST_USE;

/*
 * The same with the attributes that matter, by name:
 *	r = TASK_SPAWN(&task, IFACE(task_ops, worker), 7, .name = "worker", .affinity = 1);
 */
#define TASK_SPAWN(ret_task, entry, arg, ...)                                                      \
	task_spawn(&(const struct task_attr){__VA_ARGS__}, (entry), (arg), (ret_task))

enum task_end {
	TASK_COMPLETED = 1,
	TASK_KILLED,
	TASK_FAULTED,
};

struct task_exit {
	enum task_end end;
	int64_t value;  /* completed: what the entry returned, or task_exit() was given */
	uint64_t fault; /* faulted: upcall_fault_get() */
	bool by_ledger; /* its stack was not unwound, or not to the end: the ledger gave back the
			   rest */
};

/*
 * Waits until @task ended and takes it away: stack and slot are free afterwards. Blocking
 * export. Result: 0, -ESTALE (no such task, or joined by another), -EBUSY (another one waits for
 * it), -EDEADLK (itself), -EINVAL (detached), -ETIMEDOUT, -ECANCELED (this task was killed).
 */
int task_join(struct task_ref task, uint64_t deadline_ns, struct task_exit *ret_exit) MUST_USE;

/*
 * Nobody will join @task: it is reaped when it ends, at once if it has. Result: 0, -ESTALE,
 * -EINVAL (it is detached), -EBUSY (somebody joins it).
 */
int task_detach(struct task_ref task);

/*
 * From now on @task runs on these CPUs only (0: any); when 0 is returned to the task itself it
 * does already, another one moves at once. Result: 0, -ESTALE, -EINVAL (none is online).
 */
int task_set_affinity(struct task_ref task, uint64_t affinity);

/*
 * Gives back what is kept for speed: stacks of tasks that ended. For who wants to know what is
 * really in use, or needs the memory.
 */
void task_trim(void);

/* Ends the calling task. */
void task_exit(int64_t value) __attribute__((noreturn));

/*
 * Asks @task to end: taken at its kill points (task_kill_point()), when its entry returns, and
 * before it begins. One that comes to none while its task_attr.grace_ns pass is ended as it
 * stands when it is next preempted: no cleanup runs, the ledger gives back what is held for it.
 * Result: 0, also when it was killed before; -ESTALE. Any context.
 */
int task_kill(struct task_ref task);

/* ---- the running task ---- */

struct task_ref task_self(void);
/* True when it was asked to end: it should return soon. */
bool task_killed(void);
/*
 * A place where a kill may take effect; marks loops that never block. Returns unless the task
 * was killed: then the first kill point that sees it is told (true), and from the second on
 * the task ends there, unwound. Blocking calls are kill points too: their first says
 * -ECANCELED. Context: a task at mask depth 0.
 */
bool task_kill_point(void);
/* Lets others run; returns at once when nobody else can. */
void task_yield(void);
/* Blocking export. Result: 0, -ECANCELED. */
int task_sleep_until(uint64_t deadline_ns) MUST_USE;

/* ---- values of each task ---- */

#define TASK_LOCALS_MAX 16u

/* What FS points to: what compiled libraries rely on, and the values behind the keys below. */
struct task_tls {
	uint64_t self; /* %fs:0 */
	uint64_t unused[4];
	uint64_t canary; /* %fs:0x28 */
	uint64_t spare[2];
	struct task_local_value {
		uint64_t key; /* the key's generation; another one: this value is not set */
		uint64_t value;
	} locals[TASK_LOCALS_MAX];
};
_Static_assert(offsetof(struct task_tls, canary) == 0x28, "psABI");

/* Key of a value that each task has for itself. {0, 0} is none; a stale one is refused. */
struct task_local {
	uint32_t index;
	uint32_t generation; /* never 0 */
};

struct task_local_ops {
	/*
	 * A task ends whose value is not 0. Called after its own cleanups and before the
	 * ledgers, once, whatever its end; by the task itself unless it was ended by the ledger.
	 */
	void (*drop)(uint64_t value);
};
IFACE_DEFINE(task_local_ops);

/*
 * A cell takes its keys in init and keeps them in its state. @drop may be {{0, 0}}.
 * Result: 0, -ENOSPC (TASK_LOCALS_MAX are in use).
 */
int task_local_create(struct task_local_ops_h drop, struct task_local *ret_key) MUST_USE;
/* Gives the key back; values that tasks still have are forgotten. Result: 0, -ESTALE. */
int task_local_destroy(struct task_local key);
/* The general case of task_local_set(). Result: 0, -ESTALE. */
int task_local_begin(struct task_local key, uint64_t value) MUST_USE;

#if !__STDC_HOSTED__
#define TASK_LOCAL_AT(field, key)                                                                  \
	(offsetof(struct task_tls, locals[0].field) +                                              \
	 (uint64_t)((key).index % TASK_LOCALS_MAX) * sizeof(struct task_local_value))

/* The running task's value; 0 when it has set none, or the key is stale. Context: tasks. */
static inline uint64_t task_local_get(struct task_local key)
{
	uint64_t generation, value;

	__asm__ volatile("mov %%fs:(%1), %0"
			 : "=r"(generation)
			 : "r"(TASK_LOCAL_AT(key, key))
			 : "memory");
	__asm__ volatile("mov %%fs:(%1), %0"
			 : "=r"(value)
			 : "r"(TASK_LOCAL_AT(value, key))
			 : "memory");
	return generation == key.generation && generation ? value : 0;
}

/* Result: 0, -ESTALE. Context: tasks. */
static inline MUST_USE int task_local_set(struct task_local key, uint64_t value)
{
	uint64_t generation;

	__asm__ volatile("mov %%fs:(%1), %0"
			 : "=r"(generation)
			 : "r"(TASK_LOCAL_AT(key, key))
			 : "memory");
	if (generation != key.generation || !generation)
		return task_local_begin(key, value);
	__asm__ volatile("mov %0, %%fs:(%1)" ::"r"(value), "r"(TASK_LOCAL_AT(value, key))
			 : "memory");
	return 0;
}
#endif

/* ---- waiting ---- */

/*
 * An event that tasks wait for. It lies in the state of the cell that signals it; all zero
 * is valid. Usage, free of lost wake-ups:
 *
 *	seen = task_event_count(&e);
 *	if (!condition)
 *		r = task_event_wait(&e, seen, deadline_ns);
 */
struct task_event {
	struct spinlock lock;
	uint32_t first, last; /* slot + 1 of who waits, longest first; 0 = none */
	uint32_t reserved;
	uint64_t count; /* signals so far */
};

static inline uint64_t task_event_count(const struct task_event *event)
{
	return __atomic_load_n(&event->count, __ATOMIC_ACQUIRE);
}

/*
 * Wakes all who wait, in the order they came. Any context, interrupt handlers included. Who
 * signals and then blocks is followed, on its CPU, by those it woke: no interrupt, no tick.
 */
void task_event_signal(struct task_event *event);
/*
 * Wakes the one who has waited longest; who begins to wait with an older count returns at
 * once, too. Result: whether somebody was woken, whose wait returns 0. Any context.
 */
bool task_event_signal_one(struct task_event *event);

/*
 * Waits until @event was signalled more than @seen times. Result: 0; -ETIMEDOUT; -ECANCELED
 * (killed); -ERESTART_CELL: code that stands on this task's stack was replaced: return it at
 * once, unchanged and without touching the cell's state. Not itself behind a restart stub:
 * the caller's blocking export is what starts over, or its TASK_AGAIN.
 * Context: a task at mask depth 0. CLOCK_NEVER waits for ever.
 */
int task_event_wait(struct task_event *event, uint64_t seen, uint64_t deadline_ns) MUST_USE;

/* ---- for the swap cell ---- */

struct task_range {
	uint64_t start, end; /* [start, end) */
};

struct task_hit {
	struct task_ref task;
	char name[TASK_NAME_MAX];
	uint64_t at;   /* address of the word on the stack */
	uint64_t word; /* what stands there */
};

/*
 * Looks for a word that lies in one of @ranges, on all live stacks, saved registers
 * included. Result: 1 with one of them, 0 = none. Only between cpu_park_others() and
 * cpu_release_others(). Frames of the caller are scanned like any other, so keep @ranges
 * itself in state or heap.
 */
int task_scan(const struct task_range *ranges, unsigned n, struct task_hit *ret_hit) MUST_USE;

/*
 * Breaks off with -ERESTART_CELL the wait of every blocked task that has a word in one of
 * @ranges on its stack, so that it leaves that code. After a commit, parked or not; again
 * whenever task_scan() still finds something. Result: how many.
 */
unsigned task_restart_waits(const struct task_range *ranges, unsigned n);

/* ---- listing ---- */

enum task_state {
	TASK_INITING = 1,
	TASK_RUNNABLE,
	TASK_BLOCKED,
	TASK_EXITED,
	TASK_REAPED,
};

struct task_info {
	struct task_ref task;
	char name[TASK_NAME_MAX];
	enum task_state state;
	bool running; /* on `cpu`, now */
	uint32_t cpu; /* last one */
	uint64_t affinity;
	int priority;
	uint32_t restarts; /* so far */
	struct cell_ref owner;
	uint64_t cpu_time_ns;
	uint64_t switches;
	uint64_t stack_start, stack_bytes;
	uint64_t stack_used; /* deepest known: blocked tasks only, else 0 */
};

const char *task_state_name(enum task_state state);
/*
 * The next task in slot order from *@cursor on, which starts at 0 and moves behind it.
 * Result: 0; -ENOENT past the end. A task that is there all the time is seen exactly once.
 */
int task_next(uint32_t *cursor, struct task_info *ret_info) MUST_USE;
/* Result: 0, -ESTALE. */
int task_describe(struct task_ref task, struct task_info *ret_info) MUST_USE;
/* The head of the record of the task with this id, or NULL. Good until it is reaped: for ledgers. */
struct task_head *task_head(uint64_t id);
/* Tasks that are not reaped; idle tasks are not counted and not listed. */
unsigned task_count(void);

/*
 * Return addresses on the stack of @task, innermost first; loader_locate() tells what they are.
 * Of the caller's own, of one that waits, and of one that runs on another CPU, which is parked
 * shortly. Result: how many, at most @max; -ESTALE; -EAGAIN: somebody else
 * parks CPUs; -ETIMEDOUT: a CPU cannot be parked.
 * Context: a task at mask depth 0.
 */
int task_backtrace(struct task_ref task, uint64_t *ret_pcs, unsigned max) MUST_USE;

/* How tasks ended, since boot. */
struct task_stats {
	uint64_t unwound;   /* stacks that were unwound to their landing */
	uint64_t by_ledger; /* tasks that were ended without, or not unwound to the end */
	uint64_t
		unwind_failures; /* unwindings that were given up: a fault in one, no information */
};
void task_stats(struct task_stats *ret_stats);

/* ---- boot ---- */

/*
 * For the loader, once, after the last cell's init and before service_start_all():
 * makes the calling context the task `boot` on the stack @stack_start..@stack_end (which
 * stays the caller's), chooses the scheduler, starts the other CPUs and preemption. Returns
 * in the task `boot`, unmasked. The loader then spawns what frees the seed's image (its stack
 * included), calls service_start_all() and task_exit(0); the spawned task first joins *ret_boot:
 * when task_join() returns, nothing runs on that stack any more. Result: 0, -ENOMEM, -ENOENT (no
 * scheduler).
 */
int task_start(uint64_t stack_start, uint64_t stack_end, struct task_ref *ret_boot) MUST_USE;

#endif
