/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the task was started
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/task.h>

int f(struct task_ops_h e, struct task_ref *ret);
int f(struct task_ops_h e, struct task_ref *ret)
{
#ifdef WRONG
	task_spawn(NULL, e, 0, ret);
	return 0;
#else
	return task_spawn(NULL, e, 0, ret);
#endif
}
