/* SPDX-License-Identifier: MIT */
/*
 * what: the state of one thing assigned from the states of another
 * gcc: implicit conversion from|enum-conversion
 * clang: implicit conversion from enumeration type
 */
#include <theseus/task.h>
#include <theseus/service.h>

enum task_state f(enum task_state t, enum service_state s);
enum task_state f(enum task_state t, enum service_state s)
{
#ifdef WRONG
	(void)t;
	return s;
#else
	(void)s;
	return t;
#endif
}
