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

/* How long a task runs before the scheduler is first asked about it. */
#define TICK_FIRST_NS (10 * CLOCK_MS)

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

/* Somebody waits for this CPU while a task runs on it. */
static void need_tick(struct task_cpu *cpu)
{
	uint64_t now = clock_now_ns();

	if (cpu->tick_ns != CLOCK_NEVER)
		return;
	cpu->tick_ns = now + TICK_FIRST_NS;
	run_arm(cpu, cpu->tick_ns);
}

/* The slice of what runs: is it over, or when to ask again? */
static void tick(struct task_cpu *cpu, uint64_t now)
{
	const struct sched_ops *ops = sched();
	uint64_t left;

	cpu->tick_ns = CLOCK_NEVER;
	if (!ops->contended(cpu->cpu) || current()->idle)
		return;
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
	uint64_t now = clock_now_ns(), next;

	(void)vector;
	cpu->armed_ns = CLOCK_NEVER;
	sleep_expire(cpu, now);
	if (cpu->tick_ns <= now)
		tick(cpu, now);
	next = timer_next(&cpu->timers);
	run_arm(cpu, next < cpu->tick_ns ? next : cpu->tick_ns);
}
CELL_PROVIDE(irq_ops, task_timer) = {.handle = on_timer};

/* Another CPU put a task into this one's queue. */
static void on_resched(unsigned vector)
{
	(void)vector;
	if (current()->idle)
		percpu_write(resched, 1);
	else if (sched()->contended(percpu_cpu()))
		need_tick(this_cpu());
}
CELL_PROVIDE(irq_ops, task_resched) = {.handle = on_resched};

static void preempt(void)
{
	run_others(SCHED_PREEMPTED);
}
CELL_PROVIDE(preempt_ops, task) = {.preempt = preempt};

/* Result: the CPU whose queue it is in now. */
static unsigned enqueue(struct task *task, enum sched_why why, unsigned here)
{
	struct sched_task s = {
		.slot = task->slot, .last_cpu = task->cpu, .affinity = task->affinity};

	return sched()->enqueue(&s, why, here);
}

/* What was put into the queue of @target shall be noticed there. */
static void notify(unsigned target, unsigned here)
{
	struct tasks *t = tasks();
	struct task_cpu *cpu = &t->cpus[target];

	if (target != here) {
		if (__atomic_exchange_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST) ||
		    __atomic_load_n(&cpu->tick_ns, __ATOMIC_RELAXED) == CLOCK_NEVER)
			irq_send(target, t->resched_vector);
	} else if (current()->idle) {
		percpu_write(resched, 1);
	} else {
		need_tick(cpu);
	}
}

void run_wake(struct task *task, enum sched_why why)
{
	unsigned here;

	__atomic_store_n(&task->state, TASK_RUNNABLE, __ATOMIC_RELAXED);
	upcall_mask();
	here = percpu_cpu();
	notify(enqueue(task, why, here), here);
	upcall_unmask();
}

/* @cpu goes on with what the scheduler picks. True: this task was away meanwhile. */
static bool switch_away(struct task_cpu *cpu, struct task *from)
{
	const struct sched_ops *ops = sched();
	int slot = ops->pick(cpu->cpu);
	struct task *to = slot >= 0 ? task_in((uint32_t)slot) : cpu->idle;
	uint64_t now;

	if (to == from)
		return false;
	if (from->idle)
		__atomic_store_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST);
	if (to->idle)
		life_prepare(to);
	now = clock_now_ns();
	from->cpu_time_ns += now - cpu->since_ns;
	cpu->since_ns = now;
	to->switches++;
	to->cpu = cpu->cpu;
	percpu_write(task, &to->head);
	if (ops->contended(cpu->cpu))
		need_tick(cpu);
	switch_to(&from->ctx, &to->ctx);
	return true;
}

void run_others(enum sched_why why)
{
	struct task_cpu *cpu = this_cpu();
	struct task *task = current();
	unsigned target;

	if (!task->idle) {
		target = enqueue(task, why, cpu->cpu);
		if (target != cpu->cpu)
			notify(target, cpu->cpu);
	}
	(void)switch_away(cpu, task);
}

void run_blocked(void)
{
	(void)switch_away(this_cpu(), current());
}

void task_yield(void)
{
	upcall_mask();
	if (sched()->contended(percpu_cpu()))
		run_others(SCHED_YIELD);
	upcall_unmask();
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
	/* first the flag, then the look: who queues something meanwhile sends an interrupt */
	__atomic_store_n(&cpu->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!switch_away(cpu, current()))
		gate_idle();
	__atomic_store_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST);
	upcall_unmask();
	return TASK_AGAIN;
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
