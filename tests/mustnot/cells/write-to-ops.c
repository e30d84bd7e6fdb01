/* SPDX-License-Identifier: MIT */
/*
 * what: an operations table written to: it is sealed, a swap replaces it
 * gcc: read-only (object|location)|assignment of member
 * clang: cannot assign to (non-static data member|variable)
 */
#include <theseus/task.h>

int64_t other(uint64_t arg);
int64_t f(struct task_ops_h entry);
int64_t f(struct task_ops_h entry)
{
	const struct task_ops *ops = task_ops_get(entry);

	if (!ops)
		return -ENOENT;
#ifdef WRONG
	ops->run = other;
#endif
	return ops->run(0);
}
