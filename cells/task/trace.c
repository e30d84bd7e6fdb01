/* SPDX-License-Identifier: MIT */
#include <theseus/unwind.h>

#include "internal.h"

CELL_EXPORT(task_backtrace);

/* The registers of a task as it called switch_to(). */
static struct unwind_regs suspended(const struct task *task)
{
	const struct switch_saved *saved = (const struct switch_saved *)(uintptr_t)task->ctx.rsp;

	return (struct unwind_regs){
		.rbx = saved->rbx,
		.rbp = saved->rbp,
		.r12 = saved->r12,
		.r13 = saved->r13,
		.r14 = saved->r14,
		.r15 = saved->r15,
		.rip = saved->rip,
		.rsp = (uintptr_t)saved->end,
	};
}

static bool is_away(const struct task *task)
{
	return !__atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&task->state, __ATOMIC_RELAXED) < TASK_EXITED;
}

/*
 * The table's lock keeps the stack mapped. It does not keep the task from running meanwhile:
 * then what was read is nonsense, though from its own stack, and is thrown away.
 */
static int trace(const struct task *task, uint64_t *ret_pcs, unsigned max)
{
	uint64_t switches = __atomic_load_n(&task->switches, __ATOMIC_RELAXED);
	struct unwind_regs regs;
	unsigned n;

	if (!is_away(task))
		return -EAGAIN;
	regs = suspended(task);
	n = unwind_backtrace(&regs, task->head.stack_start, task->head.stack_end, ret_pcs, max);
	if (!is_away(task) || __atomic_load_n(&task->switches, __ATOMIC_RELAXED) != switches)
		return -EAGAIN;
	return (int)n;
}

int task_backtrace(struct task_ref ref, uint64_t *ret_pcs, unsigned max)
{
	struct tasks *t = tasks();
	const struct task *task;
	int r;

	spin_lock(&t->lock);
	task = record_find(ref);
	r = task ? trace(task, ret_pcs, max) : -ESTALE;
	spin_unlock(&t->lock);
	return r;
}
