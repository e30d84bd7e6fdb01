/* SPDX-License-Identifier: MIT */
/*
 * what: a command's handle where a task's entry is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/task.h>
#include <theseus/command.h>

int f(struct task_ops_h entry, struct command_ops_h command, struct task_ref *ret);
int f(struct task_ops_h entry, struct command_ops_h command, struct task_ref *ret)
{
#ifdef WRONG
	(void)entry;
	return task_spawn(NULL, command, 0, ret);
#else
	(void)command;
	return task_spawn(NULL, entry, 0, ret);
#endif
}
