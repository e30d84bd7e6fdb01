/* SPDX-License-Identifier: MIT */
/*
 * what: a task's number where its handle is asked for: numbers do not go stale
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/task.h>

int f(uint64_t id, struct task_ref task);
int f(uint64_t id, struct task_ref task)
{
#ifdef WRONG
	(void)task;
	return task_kill(id);
#else
	(void)id;
	return task_kill(task);
#endif
}
