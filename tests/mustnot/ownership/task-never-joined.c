/* SPDX-License-Identifier: MIT */
/*
 * what: a task that nobody joins and that is not detached
 * gcc: leak of
 * clang: [Pp]otential (memory )?leak
 */
#include <theseus/task.h>

int f(struct task_ops_h entry, struct task_exit *ret_exit);
int f(struct task_ops_h entry, struct task_exit *ret_exit)
{
#ifdef WRONG
	struct task_ref t = {0};

	if (task_spawn(NULL, entry, 0, &t) < 0)
		return -ENOMEM;
	ret_exit->value = 0;
	return 0;
#else
	struct task_ref t = {0};

	if (task_spawn(NULL, entry, 0, &t) < 0)
		return -ENOMEM;
	return task_join(t, CLOCK_NEVER, ret_exit);
#endif
}
