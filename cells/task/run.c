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
#define POLL_MAX_NS CLOCK_MS

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

/* @target has halted, or will have before the interrupt comes. */
static void wake_halted(unsigned target)
{
	struct tasks *t = tasks();

	__atomic_store_n(&t->cpus[target].woken_ns, clock_now_ns(), __ATOMIC_RELAXED);
	irq_send(target, t->resched_vector);
}

/* Makes @target look. Whoever is first to take the word from its idle task does what it needs. */
static void poke(unsigned target)
{
	if (__atomic_exchange_n(&tasks()->cpus[target].sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST) ==
	    IDLE_HALTED)
		wake_halted(target);
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

static void describe(const struct task *task, uint64_t ran_ns, struct sched_task *ret_task)
{
	ret_task->slot = task->slot;
	ret_task->last_cpu = task->cpu;
	ret_task->affinity = __atomic_load_n(&task->affinity, __ATOMIC_RELAXED);
	ret_task->priority = task->priority;
	ret_task->reserved = 0;
	ret_task->ran_ns = ran_ns;
}

/* Result: as sched_ops.enqueue. */
static unsigned enqueue(struct task *task, enum sched_why why, unsigned here, uint64_t ran_ns)
{
	struct sched_task s;

	describe(task, ran_ns, &s);
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
		wake_halted(target);
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

/* Of what the scheduler said. What may not run here any more goes where it may. */
static struct task *picked(const struct sched_ops *ops, struct task_cpu *cpu, int slot)
{
	struct task *task;

	for (; slot >= 0; slot = ops->pick(cpu->cpu)) {
		task = task_in((uint32_t)slot);
		if (allowed(task, cpu->cpu))
			return task;
		notify(enqueue(task, SCHED_WAKE, cpu->cpu, 0), cpu->cpu);
	}
	return cpu->idle;
}

/* The running task's time since the last switch of @cpu is over. Result: how long that was. */
static uint64_t account(struct task_cpu *cpu, struct task *from)
{
	uint64_t now = clock_rough_ns();
	uint64_t ran = now > cpu->since_ns ? now - cpu->since_ns : 0;

	from->cpu_time_ns += ran;
	cpu->since_ns += ran;
	return ran;
}

/* @cpu goes on with @to: all of it but the switch. Result: @to. */
static struct task *enter(const struct sched_ops *ops, struct task_cpu *cpu,
			  const struct task *from, struct task *to)
{
	/* first the word, then the look, as in tick(): who still sees an idle CPU does not tell it */
	if (from->idle && !to->idle)
		__atomic_store_n(&cpu->sleeping, IDLE_AWAKE, __ATOMIC_SEQ_CST);
	if (cpu->tick_ns == CLOCK_NEVER && !to->idle && (to->overdue || ops->contended(cpu->cpu)))
		need_tick(cpu);
	if (to == from)
		return to;
	if (to->idle)
		life_prepare(to);
	else
		cpu->switches++;
	to->switches++;
	to->cpu = cpu->cpu;
	percpu_write(task, &to->head);
	return to;
}

/*
 * What decides has returned when the switch is made: its frames would lie on every stack that
 * waits, and a switch among thousands is as slow as what it touches of them.
 */
static __attribute__((noinline)) struct task *give_way(enum sched_why why)
{
	const struct sched_ops *ops = sched();
	struct task_cpu *cpu = this_cpu();
	struct task *task = current();
	struct sched_task s;
	unsigned where;
	int slot;

	describe(task, account(cpu, task), &s);
	if (task->idle) {
		slot = ops->pick(cpu->cpu);
	} else {
		slot = ops->replace(&s, why, cpu->cpu, &where);
		if ((where & ~SCHED_URGENT) != cpu->cpu)
			notify(where, cpu->cpu);
	}
	return enter(ops, cpu, task, picked(ops, cpu, slot));
}

static __attribute__((noinline)) struct task *leave(void)
{
	const struct sched_ops *ops = sched();
	struct task_cpu *cpu = this_cpu();
	struct task *task = current();
	struct sched_task s;

	describe(task, account(cpu, task), &s);
	ops->blocked(&s, cpu->cpu);
	return enter(ops, cpu, task, picked(ops, cpu, ops->pick(cpu->cpu)));
}

/* The other half of give_way() and leave(). True: @from was away meanwhile. */
static inline bool switch_from(struct task *from, struct task *to)
{
	if (to == from)
		return false;
	switch_to(&from->ctx, &to->ctx);
	return true;
}

void run_others(enum sched_why why)
{
	struct task *task = current();

	if (why == SCHED_PREEMPTED && task->idle && task->head.whole) {
		task->head.whole |= LEDGER_WANTS_; /* once it is left, what it does is lost */
		return;
	}
	if (why == SCHED_PREEMPTED && kill_condemn(task))
		run_blocked();
	else
		(void)switch_from(task, give_way(why));
}

void run_blocked(void)
{
	struct task *task = current();

	(void)switch_from(task, leave());
}

void task_yield(void)
{
	struct task *task;

	STACK_ROOM(STACK_ROOM_MASKED);
	upcall_mask();
	if (sched()->contended(percpu_cpu())) {
		task = current();
		(void)switch_from(task, give_way(SCHED_YIELD));
	}
	upcall_unmask();
}

/* Interrupts wait, or somebody has taken the word back: there may be something to do. */
static bool told_to_look(struct task_cpu *cpu)
{
	return percpu_self()->mask & GATE_MASK_PENDING ||
	       __atomic_load_n(&cpu->sleeping, __ATOMIC_RELAXED) != IDLE_POLLING;
}

/*
 * How long to look the next time, after a halt from @begin_ns to @end_ns. To wake a halted CPU costs
 * an interrupt and what the host needs to run it; that is measured. One that was woken soon after it
 * halted looks longer the next time, up to twice that cost, and one that slept well halts at once.
 */
static void adapt_poll(struct task_cpu *cpu, uint64_t begin_ns, uint64_t end_ns)
{
	uint64_t woken_ns = __atomic_load_n(&cpu->woken_ns, __ATOMIC_RELAXED), limit;

	if (woken_ns > begin_ns && end_ns > woken_ns) {
		uint64_t cost = end_ns - woken_ns;

		cpu->wake_ns = cpu->wake_ns ? (3 * cpu->wake_ns + cost) / 4 : cost;
	}
	limit = 2 * cpu->wake_ns < POLL_MAX_NS ? 2 * cpu->wake_ns : POLL_MAX_NS;
	if (end_ns - begin_ns > 2 * limit)
		cpu->poll_ns = 0;
	else
		cpu->poll_ns = cpu->poll_ns ? 2 * cpu->poll_ns : POLL_MIN_NS;
	if (cpu->poll_ns > limit)
		cpu->poll_ns = limit;
}

/* Nothing to run: looks for a while, then halts. Masked. */
static void idle_wait(struct task_cpu *cpu)
{
	uint64_t begin = clock_now_ns();
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
	adapt_poll(cpu, begin, clock_now_ns());
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
	if (!switch_from(cpu->idle, give_way(SCHED_YIELD)))
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
