/* SPDX-License-Identifier: MIT */
/*
 * what: a cell where a task is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/task.h>

int f(struct cell_ref cell, struct task_ref task);
int f(struct cell_ref cell, struct task_ref task)
{
#ifdef WRONG
	(void)task;
	return task_kill(cell);
#else
	(void)cell;
	return task_kill(task);
#endif
}
