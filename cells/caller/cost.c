/* SPDX-License-Identifier: MIT */
/*
 * What a call through the loader's links costs over the same call made within a cell:
 * rounds of both take turns, and the medians are compared. The callers rest meanwhile, else
 * the greeter's counter would be fought over by CPUs and the call within the cell would not.
 */
#include <stdlib.h>

#include <theseus/clock.h>
#include <theseus/command.h>
#include <theseus/greeter.h>

#include "caller.h"

#define ROUNDS 301u
#define CALLS 1000u /* a round */

static uint64_t round_direct(void)
{
	uint64_t start = __builtin_ia32_rdtsc();
	char buf[GREETER_TEXT_MAX];

	for (unsigned i = 0; i < CALLS; i++) {
		if (caller_greet(buf, sizeof(buf)) < 0)
			return UINT64_MAX;
		compiler_keep(buf);
	}
	return __builtin_ia32_rdtsc() - start;
}

static uint64_t round_linked(void)
{
	uint64_t start = __builtin_ia32_rdtsc();
	char buf[GREETER_TEXT_MAX];

	for (unsigned i = 0; i < CALLS; i++) {
		if (greeter_greet(buf, sizeof(buf)) < 0)
			return UINT64_MAX;
		compiler_keep(buf);
	}
	return __builtin_ia32_rdtsc() - start;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print(struct command_io *io, const char *name, uint64_t *rounds)
{
	uint64_t ps;

	qsort(rounds, ROUNDS, sizeof(*rounds), compare);
	ps = rounds[ROUNDS / 2] * 1000000 / clock_tsc_khz() * 1000 / CALLS;
	command_printf(io, "%s=%llu.%03llu\n", name, (unsigned long long)(ps / 1000),
		       (unsigned long long)(ps % 1000));
}

static int cost_run(struct command_io *io, int argc, const char *const *argv)
{
	uint64_t linked[ROUNDS], direct[ROUNDS];

	(void)argv;
	if (argc != 1) {
		command_printf(io, "usage: call-cost\n");
		return 2;
	}
	caller_pause(true);
	for (unsigned i = 0; i < ROUNDS; i++) {
		linked[i] = round_linked();
		direct[i] = round_direct();
	}
	caller_pause(false);
	print(io, "linked_ns", linked);
	print(io, "direct_ns", direct);
	return 0;
}
CELL_PROVIDE(command_ops, call_cost) = {
	.run = cost_run,
	.help = "  a call to the greeter through the loader's links, and one within a cell",
};
