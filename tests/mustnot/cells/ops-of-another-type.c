/* SPDX-License-Identifier: MIT */
/*
 * what: a provider whose function has another type than the interface says
 * gcc: incompatible pointer type|initialization of
 * clang: incompatible function pointer types|incompatible pointer types
 */
#include <theseus/cell.h>
#include <theseus/task.h>

#ifdef WRONG
static int64_t run(const char *arg)
#else
static int64_t run(uint64_t arg)
#endif
{
	(void)arg;
	return 0;
}
CELL_PROVIDE(task_ops, worker) = {.run = run};
