/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the task was joined
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/task.h>

int f(struct task_ref t, struct task_exit *ret);
int f(struct task_ref t, struct task_exit *ret)
{
#ifdef WRONG
	task_join(t, CLOCK_NEVER, ret);
	return 0;
#else
	return task_join(t, CLOCK_NEVER, ret);
#endif
}
