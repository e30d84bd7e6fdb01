/* SPDX-License-Identifier: MIT */
/* What is said about a task from outside: that it begins, where it runs, who waits for it. */
#include "internal.h"

CELL_EXPORT(task_spawn);
CELL_EXPORT(task_detach);
CELL_EXPORT(task_set_affinity);

static bool is_valid(const struct task_attr *a, uint64_t cpus)
{
	return (!a->stack_bytes || a->stack_bytes >= TASK_STACK_MIN) &&
	       a->stack_bytes <= TASK_STACK_MAX && (!a->affinity || a->affinity & cpus) &&
	       a->priority >= SCHED_PRIORITY_MIN && a->priority <= SCHED_PRIORITY_MAX &&
	       (a->restart == TASK_RESTART_NEVER || a->restart == TASK_RESTART_ON_FAULT);
}

static void take_attr(struct task *task, const struct task_attr *a, uint64_t cpus)
{
	task->affinity = a->affinity ? a->affinity & cpus : cpus;
	task->priority = a->priority;
	task->detached = a->detached;
	task->grace_ns = a->grace_ns ? a->grace_ns : TASK_GRACE_DEFAULT;
	task->owner = a->owner;
	if (a->restart == TASK_RESTART_ON_FAULT)
		task->restarts_max = a->restarts ? a->restarts : TASK_RESTARTS_DEFAULT;
	task->backoff_ns = a->backoff_ns ? a->backoff_ns : TASK_BACKOFF_DEFAULT_NS;
}

int task_spawn(const struct task_attr *attr, struct task_ops_h entry, uint64_t arg,
	       struct task_ref *ret_task)
{
	LEDGER_WHOLE();
	static const struct task_attr plain = {.name = NULL};
	const struct task_attr *a = attr ? attr : &plain;
	uint64_t cpus = cpu_online_mask();
	struct task *task = NULL;
	int r;

	if (!task_ops_get(entry) || !is_valid(a, cpus))
		return -EINVAL;
	record_reap_detached();
	r = record_create(a->name ? a->name : "task",
			  a->stack_bytes ? a->stack_bytes : TASK_STACK_DEFAULT, &task);
	if (r < 0)
		return r;
	task->entry = entry;
	task->arg = arg;
	take_attr(task, a, cpus);
	if (task->owner.id == 0)
		task->owner = iface_cell(entry.h);
	life_prepare(task);
	r = record_enter(task);
	if (r < 0) {
		record_free(task);
		return r;
	}
	*ret_task = (struct task_ref){task->slot, task->generation};
	upcall_mask();
	task->cpu = percpu_cpu();
	upcall_unmask();
	run_wake(task, SCHED_NEW);
	return 0;
}

int task_detach(struct task_ref ref)
{
	LEDGER_WHOLE();
	struct tasks *t = tasks();
	struct task *task = NULL;
	int r;

	spin_lock(&t->lock);
	r = life_claim(ref, &task);
	if (r == 0)
		task->detached = true;
	spin_unlock(&t->lock);
	if (r > 0)
		record_reap(task);
	return r < 0 ? r : 0;
}

int task_set_affinity(struct task_ref ref, uint64_t affinity)
{
	uint64_t cpus = cpu_online_mask(), allowed = affinity ? affinity & cpus : cpus;
	struct tasks *t = tasks();
	struct task *task;

	if (!allowed)
		return -EINVAL;
	spin_lock(&t->lock);
	task = record_find(ref);
	if (task && __atomic_load_n(&task->state, __ATOMIC_RELAXED) < TASK_EXITED) {
		__atomic_store_n(&task->affinity, allowed, __ATOMIC_SEQ_CST);
		run_move(task);
	} else {
		task = NULL;
	}
	spin_unlock(&t->lock);
	return task ? 0 : -ESTALE;
}
