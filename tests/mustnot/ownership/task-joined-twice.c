/* SPDX-License-Identifier: MIT */
/*
 * what: a task joined twice: the first join took it away
 * gcc: double-'free'|Wuse-after-free
 * clang: Attempt to free released memory
 */
#include <theseus/task.h>

int f(struct task_ops_h entry, struct task_exit *ret_exit);
int f(struct task_ops_h entry, struct task_exit *ret_exit)
{
#ifdef WRONG
	struct task_ref t = {0};

	if (task_spawn(NULL, entry, 0, &t) < 0)
		return -ENOMEM;
	if (task_join(t, CLOCK_NEVER, ret_exit) < 0)
		return -EINVAL;
	return task_join(t, CLOCK_NEVER, ret_exit);
#else
	struct task_ref t = {0};

	if (task_spawn(NULL, entry, 0, &t) < 0)
		return -ENOMEM;
	return task_join(t, CLOCK_NEVER, ret_exit);
#endif
}
