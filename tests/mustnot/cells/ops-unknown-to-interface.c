/* SPDX-License-Identifier: MIT */
/*
 * what: a provider that fills in what the interface does not have
 * gcc: has no member named 'stop'|has no member named
 * clang: does not refer to any field in type
 */
#include <theseus/cell.h>
#include <theseus/task.h>

static int64_t run(uint64_t arg)
{
	return (int64_t)arg;
}
#ifdef WRONG
CELL_PROVIDE(task_ops, worker) = {.run = run, .stop = run};
#else
CELL_PROVIDE(task_ops, worker) = {.run = run};
#endif
