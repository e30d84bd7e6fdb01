/* SPDX-License-Identifier: MIT */
/* theseus/task.h as ../ownership.h models it. */
#include_next <theseus/task.h>
#ifndef MODEL_TASK_H
#define MODEL_TASK_H

static inline MUST_USE int model_task_spawn(const struct task_attr *attr, struct task_ops_h entry,
					    uint64_t arg, struct task_ref *ret_task)
{
	struct task_ref real = {0};
	int r = task_spawn(attr, entry, arg, &real);

	if (r < 0)
		return r;
	*ret_task = (struct task_ref){.slot = real.slot, .token_ = calloc(1, 1)};
	return ret_task->token_ ? 0 : -1;
}

static inline MUST_USE int model_task_join(struct task_ref task, uint64_t deadline_ns,
					   struct task_exit *ret_exit)
{
	int r = task_join((struct task_ref){.slot = task.slot}, deadline_ns, ret_exit);

	free(task.token_);
	return r;
}

#define task_spawn model_task_spawn
#define task_join model_task_join

#endif
