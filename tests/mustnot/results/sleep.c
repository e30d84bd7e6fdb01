/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the sleep was broken off by a kill
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/task.h>

int f(uint64_t until);
int f(uint64_t until)
{
#ifdef WRONG
	task_sleep_until(until);
	return 0;
#else
	return task_sleep_until(until);
#endif
}
