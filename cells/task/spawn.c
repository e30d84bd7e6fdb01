/* SPDX-License-Identifier: MIT */
#include "internal.h"

CELL_EXPORT(task_spawn);

int task_spawn(const struct task_attr *attr, struct task_ops_h entry, uint64_t arg,
	       struct task_ref *ret_task)
{
	static const struct task_attr plain = {.name = NULL};
	const struct task_attr *a = attr ? attr : &plain;
	uint64_t cpus = cpu_online_mask();
	size_t stack = a->stack_bytes ? a->stack_bytes : TASK_STACK_DEFAULT;
	struct task *task = NULL;
	int r;

	if (!task_ops_get(entry) || stack > TASK_STACK_MAX ||
	    (a->affinity && !(a->affinity & cpus)))
		return -EINVAL;
	record_reap_detached();
	r = record_create(a->name ? a->name : "task", stack, &task);
	if (r < 0)
		return r;
	task->entry = entry;
	task->arg = arg;
	task->affinity = a->affinity ? a->affinity & cpus : cpus;
	task->detached = a->detached;
	task->owner = a->owner;
	if (task->owner.id == 0)
		task->owner.id =
			((const struct iface_slot *)(uintptr_t)IFACE_TABLE)[entry.h.slot].cell;
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
