/* SPDX-License-Identifier: MIT */
#include "marks.h"

#include <time.h>

static struct mark marks[MARKS_MAX];
static size_t used;
static uint64_t exec_at;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void marks_init(void)
{
	exec_at = read_clock(CLOCK_MONOTONIC) - read_clock(CLOCK_PROCESS_CPUTIME_ID);
	marks_add("main");
}

uint64_t marks_now(void)
{
	return read_clock(CLOCK_MONOTONIC) - exec_at;
}

void marks_add(const char *name)
{
	if (used < MARKS_MAX)
		marks[used++] = (struct mark){name, marks_now()};
}

size_t marks_get(const struct mark **ret_marks)
{
	*ret_marks = marks;
	return used;
}
