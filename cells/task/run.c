/* SPDX-License-Identifier: MIT */
/*
 * Who runs on this CPU, its timer, and its idle task. Which task that is decides the
 * scheduler behind sched_ops; everything here runs masked at depth 1.
 *
 * The timer is armed for the next deadline of a sleeper, and for the end of a slice only
 * while somebody waits for this CPU. It is never disarmed: where CPL 0 is emulated, arming
 * costs as much as the interrupt that finds nothing to do.
 */
#include <theseus/gate-call.h>

#include "internal.h"

CELL_EXPORT(task_yield);

/* Who waits that long behind a task that does not give way gets an idle CPU's help. */
#define HELP_NS CLOCK_MS

/* How long an idle CPU looks for work before it halts, if that was worth it the last time. */
#define POLL_MIN_NS 20000ull
#define POLL_MAX_NS 200000ull

static const struct sched_ops *sched(void)
{
	const struct sched_ops *ops = sched_ops_get(tasks()->sched);

	if (!ops)
		upcall_crash("the scheduler has left");
	return ops;
}

static struct task_cpu *this_cpu(void)
{
	return &tasks()->cpus[percpu_cpu()];
}

void run_arm(struct task_cpu *cpu, uint64_t deadline_ns)
{
	if (deadline_ns >= cpu->armed_ns)
		return;
	cpu->armed_ns = deadline_ns;
	gate_timer(clock_tsc_of_ns(deadline_ns));
}

/* Makes @target look. Whoever is first to take the word from its idle task does what it needs. */
static void poke(unsigned target)
{
	struct tasks *t = tasks();

	if (__atomic_exchange_n(&t->cpus[target].sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST) ==
	    IDLE_HALTED)
		irq_send(target, t->resched_vector);
}

/* Somebody waits for this CPU while a task runs on it. */
static void need_tick(struct task_cpu *cpu)
{
	uint64_t now, left;

	if (cpu->tick_ns != CLOCK_NEVER)
		return;
	now = clock_now_ns();
	left = sched()->tick(cpu->cpu, now - cpu->since_ns);
	if (left > HELP_NS && sched()->helper(cpu->cpu) >= 0)
		left = HELP_NS;
	cpu->tick_ns = now + left;
	cpu->switches_at_tick = cpu->switches;
	run_arm(cpu, cpu->tick_ns);
}

/*
 * The slice of what runs: is it over, or when to ask again? Who waits while another CPU is
 * idle is not helped as long as this one's queue moves: that costs more than it gains.
 */
static void tick(struct task_cpu *cpu, uint64_t now)
{
	const struct sched_ops *ops = sched();
	uint64_t left;
	int helper;

	/* first the word, then the look: who queues something here and still sees a tick relies on it */
	__atomic_store_n(&cpu->tick_ns, CLOCK_NEVER, __ATOMIC_SEQ_CST);
	if (!ops->contended(cpu->cpu) || current()->idle)
		return;
	helper = ops->helper(cpu->cpu);
	if (helper >= 0 && (cpu->switches == cpu->switches_at_tick || cpu->moving))
		poke((unsigned)helper);
	cpu->moving = cpu->switches != cpu->switches_at_tick;
	cpu->switches_at_tick = cpu->switches;
	left = ops->tick(cpu->cpu, now - cpu->since_ns);
	if (left == 0) {
		percpu_write(resched, 1);
		return;
	}
	cpu->tick_ns = now + left;
}

static void on_timer(unsigned vector)
{
	struct task_cpu *cpu = this_cpu();
	uint64_t now = clock_now_ns(), next, kill;

	(void)vector;
	cpu->armed_ns = CLOCK_NEVER;
	next = sleep_expire(cpu, now);
	kill = kill_expire(now);
	if (current()->overdue)
		percpu_write(resched, 1);
	if (cpu->tick_ns <= now)
		tick(cpu, now);
	run_arm(cpu, next < cpu->tick_ns ? next : cpu->tick_ns);
	run_arm(cpu, kill);
}
CELL_PROVIDE(irq_ops, task_timer) = {.handle = on_timer};

static bool allowed(const struct task *task, unsigned cpu)
{
	return __atomic_load_n(&task->affinity, __ATOMIC_RELAXED) >> cpu & 1;
}

/* What came into the queue may be more urgent than what runs. */
static void look_again(struct task_cpu *cpu)
{
	if (sched()->tick(cpu->cpu, clock_now_ns() - cpu->since_ns) == 0)
		percpu_write(resched, 1);
	else
		need_tick(cpu);
}

/* Another CPU put a task into this one's queue, or forbids this one to what runs here. */
static void on_resched(unsigned vector)
{
	(void)vector;
	if (current()->idle || current()->overdue || !allowed(current(), percpu_cpu()))
		percpu_write(resched, 1);
	else if (sched()->contended(percpu_cpu()))
		look_again(this_cpu());
}
CELL_PROVIDE(irq_ops, task_resched) = {.handle = on_resched};

static void preempt(void)
{
	run_others(SCHED_PREEMPTED);
}
CELL_PROVIDE(preempt_ops, task) = {.preempt = preempt};

static struct sched_task describe(const struct task *task, uint64_t ran_ns)
{
	return (struct sched_task){
		.slot = task->slot,
		.last_cpu = task->cpu,
		.affinity = __atomic_load_n(&task->affinity, __ATOMIC_RELAXED),
		.priority = task->priority,
		.ran_ns = ran_ns,
	};
}

/* Result: as sched_ops.enqueue. */
static unsigned enqueue(struct task *task, enum sched_why why, unsigned here, uint64_t ran_ns)
{
	struct sched_task s = describe(task, ran_ns);

	return sched()->enqueue(&s, why, here);
}

/* This CPU looks who shall run as soon as it is unmasked. */
static void preempt_soon(void)
{
	percpu_write(resched, 1);
	__asm__ volatile("orl %0, %%gs:0" ::"i"(GATE_MASK_PENDING) : "memory", "cc");
}

/* What was put into a queue, as enqueue() said, shall be noticed there. */
static void notify(unsigned where, unsigned here)
{
	struct tasks *t = tasks();
	unsigned target = where & ~SCHED_URGENT;
	struct task_cpu *cpu = &t->cpus[target];

	if (target == here) {
		if (current()->idle || where & SCHED_URGENT)
			preempt_soon();
		else
			need_tick(cpu);
		return;
	}
	switch (__atomic_exchange_n(&cpu->sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST)) {
	case IDLE_POLLING:
		break;
	case IDLE_HALTED:
		irq_send(target, t->resched_vector);
		break;
	default: /* who has a tick looks then */
		if (where & SCHED_URGENT ||
		    __atomic_load_n(&cpu->tick_ns, __ATOMIC_RELAXED) == CLOCK_NEVER)
			irq_send(target, t->resched_vector);
	}
}

void run_wake(struct task *task, enum sched_why why)
{
	unsigned here;

	__atomic_store_n(&task->state, TASK_RUNNABLE, __ATOMIC_RELAXED);
	upcall_mask();
	here = percpu_cpu();
	notify(enqueue(task, why, here, 0), here);
	upcall_unmask();
}

void run_move(struct task *task)
{
	unsigned here = percpu_cpu(), at;

	if (sched()->dequeue(task->slot) == 0) {
		notify(enqueue(task, SCHED_WAKE, here, 0), here);
		return;
	}
	/* it runs, or is being put somewhere: then it is looked at again when it is picked */
	at = __atomic_load_n(&task->cpu, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE) || allowed(task, at))
		return;
	if (task == current())
		preempt_soon();
	else
		irq_send(at, tasks()->resched_vector);
}

/* Who runs next. What may not run here any more goes where it may. */
static struct task *next_task(struct task_cpu *cpu)
{
	const struct sched_ops *ops = sched();
	struct task *task;
	int slot;

	while ((slot = ops->pick(cpu->cpu)) >= 0) {
		task = task_in((uint32_t)slot);
		if (allowed(task, cpu->cpu))
			return task;
		notify(enqueue(task, SCHED_WAKE, cpu->cpu, 0), cpu->cpu);
	}
	return cpu->idle;
}

/* @cpu goes on with what the scheduler picks. True: this task was away meanwhile. */
static bool switch_away(struct task_cpu *cpu, struct task *from, uint64_t now)
{
	struct task *to = next_task(cpu);

	from->cpu_time_ns += now - cpu->since_ns;
	cpu->since_ns = now;
	/* first the word, then the look, as in tick(): who still sees an idle CPU does not tell it */
	if (from->idle && !to->idle)
		__atomic_store_n(&cpu->sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST);
	if (!to->idle && (to->overdue || sched()->contended(cpu->cpu)))
		need_tick(cpu);
	if (to == from)
		return false;
	if (to->idle)
		life_prepare(to);
	else
		cpu->switches++;
	to->switches++;
	to->cpu = cpu->cpu;
	percpu_write(task, &to->head);
	switch_to(&from->ctx, &to->ctx);
	return true;
}

void run_others(enum sched_why why)
{
	struct task_cpu *cpu = this_cpu();
	struct task *task = current();
	uint64_t now = clock_now_ns();
	unsigned where;

	if (why == SCHED_PREEMPTED && task->idle && task->head.whole) {
		task->head.whole |= LEDGER_WANTS_; /* once it is left, what it does is lost */
		return;
	}
	if (why == SCHED_PREEMPTED && kill_condemn(task)) {
		run_blocked();
		return;
	}
	if (!task->idle) {
		where = enqueue(task, why, cpu->cpu, now - cpu->since_ns);
		if ((where & ~SCHED_URGENT) != cpu->cpu)
			notify(where, cpu->cpu);
	}
	(void)switch_away(cpu, task, now);
}

void run_blocked(void)
{
	struct task_cpu *cpu = this_cpu();
	struct task *task = current();
	uint64_t now = clock_now_ns();
	struct sched_task s = describe(task, now - cpu->since_ns);

	sched()->blocked(&s, cpu->cpu);
	(void)switch_away(cpu, task, now);
}

void task_yield(void)
{
	STACK_ROOM(STACK_ROOM_MASKED);
	upcall_mask();
	if (sched()->contended(percpu_cpu()))
		run_others(SCHED_YIELD);
	upcall_unmask();
}

/* Interrupts wait, or somebody has taken the word back: there may be something to do. */
static bool told_to_look(struct task_cpu *cpu)
{
	return percpu_self()->mask & GATE_MASK_PENDING ||
	       __atomic_load_n(&cpu->sleeping, __ATOMIC_RELAXED) != IDLE_POLLING;
}

/*
 * Nothing to run: looks for a while, then halts. Waking a halted CPU costs an interrupt, so
 * one that was woken soon after it halted looks longer the next time, and one that slept well
 * halts at once. Masked.
 */
static void idle_wait(struct task_cpu *cpu)
{
	uint64_t begin = clock_now_ns(), slept;
	uint32_t expected = IDLE_POLLING;

	while (cpu->poll_ns && clock_now_ns() - begin < cpu->poll_ns) {
		if (told_to_look(cpu))
			return;
		__builtin_ia32_pause();
	}
	if (!__atomic_compare_exchange_n(&cpu->sleeping, &expected, IDLE_HALTED, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return;
	begin = clock_now_ns();
	gate_idle();
	slept = clock_now_ns() - begin;
	if (slept > 2 * POLL_MAX_NS)
		cpu->poll_ns = 0;
	else if (cpu->poll_ns < POLL_MAX_NS)
		cpu->poll_ns = cpu->poll_ns ? 2 * cpu->poll_ns : POLL_MIN_NS;
}

/*
 * An idle task is left for good whenever something else runs, and begins anew the next time:
 * a busy CPU's would else keep the code that it was left in from being unloaded.
 */
int64_t run_idle(void)
{
	struct task_cpu *cpu;

	record_reap_detached();
	upcall_mask();
	cpu = this_cpu();
	/* first the word, then the look: who queues something meanwhile takes it back */
	__atomic_store_n(&cpu->sleeping, IDLE_POLLING, __ATOMIC_SEQ_CST);
	if (!switch_away(cpu, current(), clock_now_ns()))
		idle_wait(cpu);
	__atomic_store_n(&cpu->sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST);
	upcall_unmask();
	return TASK_AGAIN;
}

int run_reserve(uint32_t slots)
{
	return sched()->reserve(slots);
}

void run_new_cpu(void)
{
	struct task_cpu *cpu = this_cpu();

	if (cpu->online)
		return;
	cpu->online = true;
	clock_sync_point();
	cpu_set_online();
}

int run_init(void)
{
	struct tasks *t = tasks();
	int r;

	for (unsigned i = 0; i < GATE_MAX_CPUS; i++) {
		t->cpus[i].cpu = i;
		t->cpus[i].armed_ns = CLOCK_NEVER;
		t->cpus[i].tick_ns = CLOCK_NEVER;
	}
	r = irq_attach(IFACE(irq_ops, task_resched), &t->resched_vector);
	if (r >= 0)
		r = irq_attach_timer(IFACE(irq_ops, task_timer));
	if (r >= 0)
		r = upcall_attach_preempt(IFACE(preempt_ops, task));
	return r;
}
