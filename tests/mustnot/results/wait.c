/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks why a wait ended: -ERESTART_CELL would be lost
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/task.h>

int f(struct task_event *e);
int f(struct task_event *e)
{
#ifdef WRONG
	task_event_wait(e, 0, CLOCK_NEVER);
	return 0;
#else
	return task_event_wait(e, 0, CLOCK_NEVER);
#endif
}
