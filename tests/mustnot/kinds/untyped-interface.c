/* SPDX-License-Identifier: MIT */
/*
 * what: an untyped handle where one of a certain interface is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/task.h>

const struct task_ops *f(struct iface any, struct task_ops_h entry);
const struct task_ops *f(struct iface any, struct task_ops_h entry)
{
#ifdef WRONG
	(void)entry;
	return task_ops_get(any);
#else
	(void)any;
	return task_ops_get(entry);
#endif
}
