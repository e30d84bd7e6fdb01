/* SPDX-License-Identifier: MIT */
/*
 * what: a function's address where an entry is asked for: it would outlive its cell
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/task.h>

int64_t run(uint64_t arg);
int f(struct task_ops_h entry, struct task_ref *ret);
int f(struct task_ops_h entry, struct task_ref *ret)
{
#ifdef WRONG
	(void)entry;
	return task_spawn(NULL, run, 0, ret);
#else
	return task_spawn(NULL, entry, 0, ret);
#endif
}
