/* SPDX-License-Identifier: MIT */
/*
 * Kills, and what becomes of tasks that come to no kill point in their grace time.
 *
 * A killed task is in the list of kills until it ends. When its grace is over the timer marks it
 * overdue; wherever it is preempted from then on (so: at mask depth 0, with all its registers
 * saved) it is not queued again, but handed to the reaper: a task that waits until the CPU has
 * left the stack, has the ledger give back what is held for the task, and wakes the joiner.
 * Nothing of the task's own code runs any more. A task in a LEDGER_WHOLE() scope is let on to the
 * end of that, where it is preempted at once.
 */
#include "internal.h"

CELL_EXPORT(task_kill);

#define AGAIN_NS CLOCK_MS /* at the earliest: interrupts must leave the task time to get on */

static void link_kill(struct tasks *t, struct task *task, uint64_t now)
{
	uint64_t next = t->kills_next_ns;

	task->kill_deadline_ns = now + task->grace_ns;
	task->kill_next = t->kills;
	t->kills = task;
	if (next == 0 || task->kill_deadline_ns < next)
		__atomic_store_n(&t->kills_next_ns, task->kill_deadline_ns, __ATOMIC_RELAXED);
	run_arm(&t->cpus[percpu_cpu()], task->kill_deadline_ns);
}

void kill_forget(struct task *task)
{
	struct tasks *t = tasks();
	struct task **at = &t->kills;

	while (*at && *at != task)
		at = &(*at)->kill_next;
	if (*at)
		*at = task->kill_next;
	if (!t->kills)
		__atomic_store_n(&t->kills_next_ns, 0, __ATOMIC_RELAXED);
}

int task_kill(struct task_ref ref)
{
	struct tasks *t = tasks();
	struct task *task;
	int r = -ESTALE;

	spin_lock(&t->lock);
	task = record_find(ref);
	if (task && __atomic_load_n(&task->state, __ATOMIC_RELAXED) < TASK_EXITED) {
		if (task->killed == KILL_NONE) {
			__atomic_store_n(&task->killed, KILL_ASKED, __ATOMIC_SEQ_CST);
			link_kill(t, task, clock_now_ns());
		}
		(void)sleep_end(task, -ECANCELED);
		r = 0;
	}
	spin_unlock(&t->lock);
	return r;
}

/* ---- when the grace is over ---- */

/* A cleanup that still waits is told once more; what runs, or will, is ended when preempted. */
static void overdue(struct tasks *t, struct task *task)
{
	if (sleep_end(task, -ECANCELED))
		return;
	__atomic_store_n(&task->overdue, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&task->ctx.running, __ATOMIC_SEQ_CST))
		return; /* it gets a tick as soon as it runs: switch_away() */
	if (task->cpu == percpu_cpu())
		percpu_write(resched, 1);
	else
		irq_send(task->cpu, t->resched_vector);
}

uint64_t kill_expire(uint64_t now_ns)
{
	struct tasks *t = tasks();
	uint64_t next = __atomic_load_n(&t->kills_next_ns, __ATOMIC_RELAXED);

	if (next == 0)
		return CLOCK_NEVER;
	if (next > now_ns)
		return next;
	next = CLOCK_NEVER;
	spin_lock(&t->lock);
	for (struct task *task = t->kills; task; task = task->kill_next) {
		if (task->kill_deadline_ns <= now_ns) {
			task->kill_deadline_ns =
				now_ns + (task->grace_ns > AGAIN_NS ? task->grace_ns : AGAIN_NS);
			overdue(t, task);
		}
		if (task->kill_deadline_ns < next)
			next = task->kill_deadline_ns;
	}
	__atomic_store_n(&t->kills_next_ns, next == CLOCK_NEVER ? 0 : next, __ATOMIC_RELAXED);
	spin_unlock(&t->lock);
	return next;
}

bool kill_condemn(struct task *task)
{
	struct tasks *t = tasks();

	if (!__atomic_load_n(&task->overdue, __ATOMIC_RELAXED) || task->over)
		return false;
	if (task->head.whole) {
		task->head.whole |= LEDGER_WANTS_;
		return false;
	}
	spin_lock(&t->lock);
	kill_forget(task);
	task->next = t->condemned;
	t->condemned = task;
	spin_unlock(&t->lock);
	task_event_signal(&t->condemn);
	return true;
}

/* ---- the reaper ---- */

static struct task *take_condemned(void)
{
	struct tasks *t = tasks();
	struct task *task;

	spin_lock(&t->lock);
	task = t->condemned;
	if (task)
		t->condemned = task->next;
	spin_unlock(&t->lock);
	return task;
}

static int64_t reap(uint64_t arg)
{
	struct tasks *t = tasks();
	uint64_t seen = task_event_count(&t->condemn);
	struct task *task;

	(void)arg;
	while ((task = take_condemned())) {
		while (__atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE))
			__builtin_ia32_pause();
		upcall_stack_restore(&task->head);
		local_drop_all(task);
		ledger_task_ended(task->head.id);
		__atomic_add_fetch(&t->by_ledger, 1, __ATOMIC_RELAXED);
		life_publish(task, (struct task_exit){.end = TASK_KILLED, .by_ledger = true});
	}
	(void)(task_event_wait(&t->condemn, seen, CLOCK_NEVER) < 0);
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, reaper) = {.run = reap};

int kill_start(void)
{
	const struct task_attr attr = {.name = "reaper", .detached = true, .owner = CELL_SELF};
	struct task_ref reaper;

	return task_spawn(&attr, IFACE(task_ops, reaper), 0, &reaper);
}
