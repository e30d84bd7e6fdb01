/* SPDX-License-Identifier: MIT */
/*
 * Upcalls: interrupts and faults as the gate hands them to CPL 3 (gate.h), their handlers,
 * fault records, and parking of the other CPUs. Masking is inline, in theseus/mask.h.
 */
#ifndef THESEUS_UPCALL_H
#define THESEUS_UPCALL_H

#include <theseus/mask.h>

/* ---- interrupts ---- */

struct irq_ops {
	/*
	 * Runs masked on the interrupted task's stack, on whatever CPU got the interrupt.
	 * Must not block; typically wakes a service or a task. Vectors arrive coalesced: one
	 * call for one or more interrupts. A handler that faults is unwound, detached (but not
	 * the timer's) and recorded.
	 */
	void (*handle)(unsigned vector);
};
IFACE_DEFINE(irq_ops);

/*
 * Gives @handler a vector of its own in GATE_VECTOR_IRQ_FIRST..LAST. The handler is looked
 * up anew for each interrupt; one whose provider left is ignored. Result: 0, -ENOSPC, -EINVAL.
 * Context: tasks.
 */
int irq_attach(struct irq_ops_h handler, unsigned *ret_vector) MUST_USE;

/* Gives @vector back. On return no CPU begins to run its handler. -ENOENT: it has none. */
int irq_detach(unsigned vector);

/* The handler of GATE_VECTOR_TIMER, one at a time: the task cell. Result: 0, -EBUSY. */
int irq_attach_timer(struct irq_ops_h handler) MUST_USE;

/* Interrupts @cpu, or all others (GATE_IPI_OTHERS), with an attached vector. 0 or the gate's
 * -errno. */
int irq_send(uint64_t cpu, unsigned vector);

/*
 * Called masked at depth 1 at the end of an upcall or of taking pending interrupts, when
 * percpu.resched is set: may switch tasks. One at a time: the task cell. Result: 0, -EBUSY.
 */
struct preempt_ops {
	void (*preempt)(void);
};
IFACE_DEFINE(preempt_ops);
int upcall_attach_preempt(struct preempt_ops_h handler) MUST_USE;

/* ---- CPUs ---- */

/* CPUs that take upcalls: online ones, the boot CPU included. */
unsigned cpu_online(void);
/* The same as bits: one a CPU. */
uint64_t cpu_online_mask(void);
/* CPUs that the machine has: boot_record.cpus. */
unsigned cpu_count(void);

/*
 * Makes @cpu ready to take upcalls: gives it its stacks and slots. Before it is started;
 * the boot CPU was made ready by init. Result: 0, -ENOMEM, -EINVAL.
 */
int cpu_prepare(unsigned cpu) MUST_USE;
/* Called once by each prepared CPU when it runs: it counts as online and can be parked. */
void cpu_set_online(void);

/*
 * Stops every other online CPU in CPL 3 at mask depth 0 with all its registers on its
 * task's stack (percpu.parked_rsp). Result: 0, and upcalls stay masked here until
 * cpu_release_others(); -ETIMEDOUT with nobody parked and the first that did not come in
 * *ret_cpu; -EBUSY when somebody else parks. @limit_ns from now. Context: a task at depth 0.
 * If the caller faults, the others are released when its fault lands.
 */
int cpu_park_others(uint64_t limit_ns, unsigned *ret_cpu) MUST_USE;

/*
 * Lets them go on: each executes a serialising instruction first, so that it sees text that
 * was patched meanwhile. Returns when all have left the parking place's spin.
 */
void cpu_release_others(void);

/* TSC when the first other CPU was parked and when the last was let go, in the last round. */
struct cpu_park_times {
	uint64_t first_parked, last_parked, released;
};
void cpu_park_times(struct cpu_park_times *ret_times);

/* ---- faults ---- */

#define UPCALL_FAULTS_MAX 16u   /* records kept: the newest */
#define UPCALL_FAULT_FRAMES 16u /* return addresses in a record */

enum upcall_outcome {
	UPCALL_LANDED = 1,  /* what switch_protect() called was ended: a task, a service's step */
	UPCALL_HANDLER = 2, /* an interrupt handler was ended */
};

struct upcall_fault {
	uint64_t id; /* 1.. in order of occurrence */
	uint64_t time_ns;
	uint64_t rip, rsp, rflags, cr2, error;
	uint64_t regs[15]; /* rax rbx rcx rdx rsi rdi rbp r8 .. r15 */
	uint64_t task;     /* id; 0 = none */
	uint64_t offset;   /* from the function */
	uint32_t vector;
	uint32_t cpu;
	enum upcall_outcome outcome;
	uint32_t stack_overflow; /* the page fault was in the task's guard page */
	char task_name[TASK_NAME_MAX];
	char cell[CELL_NAME_MAX];
	char function[CELL_SYMBOL_MAX];
	/* What happened, in words: "page fault", "stack overflow", "trap: " and the reason that
	   theseus/trap.h was given, "undefined behaviour" for a trap of the compiler's. */
	char reason[112];
	uint32_t n_frames;
	uint32_t reserved;
	uint64_t frames[UPCALL_FAULT_FRAMES]; /* the faulting stack, innermost first: rip itself */
};

/* Faults since boot. */
uint64_t upcall_fault_count(void);
/* Copies the record with @id. Result: 0, -ENOENT (never was, or overwritten). */
int upcall_fault_get(uint64_t id, struct upcall_fault *ret_fault) MUST_USE;
/*
 * Writes the record @id to the log (theseus/notice.h). Whoever got -EFAULT from
 * switch_protect() calls it: the fault handler itself cannot, it may have interrupted the log.
 */
void upcall_fault_report(uint64_t id);

/* ---- unwinding ---- */

/*
 * Ends what the innermost switch_protect() called, as a fault does but without one: cleanups of
 * all frames run, and it returns -ECANCELED and @value. From any depth, with any mask depth;
 * when called by a cleanup, the rest of the unwinding is given up. Context: a task.
 */
void upcall_end(uint64_t value) __attribute__((noreturn));

#if !__STDC_HOSTED__
/* Whether the running task's stack is being unwound: its cleanups run. */
static inline bool upcall_unwinding(void)
{
	const struct percpu_landing *landing = percpu_read(landing);

	return landing && landing->unwinding;
}
#endif

/*
 * A stack that had overflowed ends where it did again. Called by the task near its stack's top,
 * or by another one when it does not run any more.
 */
void upcall_stack_restore(struct task_head *task);

struct upcall_unwinds {
	uint64_t done;   /* stacks that were unwound to their landing */
	uint64_t failed; /* given up: a fault in a cleanup, no information, no room */
};
/* Since boot. */
void upcall_unwinds(struct upcall_unwinds *ret_counts);

/*
 * Ends the VM with a crash record that begins with @text, cut to what fits. Any context.
 */
void upcall_crash(const char *text) __attribute__((noreturn));

#endif
