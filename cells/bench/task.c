/* SPDX-License-Identifier: MIT */
/* Calls, switches, lives and wake-ups of tasks. */
#include "internal.h"

/* ---- a call to another cell ---- */

#define CALLS 1000u

static int call(struct bench *b)
{
	b->ops = CALLS;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < CALLS; i++)
			(void)clock_tsc_khz();
		bench_stop(b, start);
	}
	return 0;
}
CELL_PROVIDE(bench_ops, call) = {.run = call, .n_params = 1, .params = {0}};

/* ---- switches, among param tasks that can all run ---- */

#define SWITCHES 64u /* a sample, or as many as there are tasks */

static uint64_t yield_until(struct bench_switches *s, uint64_t n, uint64_t me)
{
	uint64_t since = s->n;

	do {
		task_yield();
		bench_came_back(s, me);
	} while (__atomic_load_n(&s->n, __ATOMIC_RELAXED) - since < n);
	return s->n - since;
}

static int64_t yield_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;
	struct bench_switches *s = &bench_state()->switches;

	b->ops = b->param < SWITCHES ? SWITCHES : b->param;
	(void)yield_until(s, 2 * b->ops, arg); /* now everybody has begun */
	while (bench_more(b)) {
		uint64_t start = bench_start();

		bench_add_switches(b, start, yield_until(s, b->ops, arg));
	}
	return 0;
}
CELL_PROVIDE(task_ops, bench_yield) = {.run = yield_task};

static int yield(struct bench *b)
{
	unsigned cpu = bench_cpu();
	int r;

	if (b->param < 2 || b->param > BENCH_CROWD_MAX)
		return -EINVAL;
	r = bench_crowd_yielding((uint32_t)b->param - 1, cpu);
	if (r < 0)
		return r;
	r = bench_on(cpu, IFACE(task_ops, bench_yield), b);
	bench_dismiss_crowd();
	return r;
}
CELL_PROVIDE(bench_ops, yield) = {.run = yield, .n_params = 4, .params = {2, 100, 1000, 10000}};

/* ---- spawn and join, among param others that are blocked ---- */

static int64_t nothing(uint64_t arg)
{
	(void)arg;
	return 0;
}
CELL_PROVIDE(task_ops, bench_nothing) = {.run = nothing};

static int64_t spawn_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;
	struct task_attr attr = {.affinity = 1ull << bench_cpu()};
	struct task_ref task;
	struct task_exit exit;

	while (bench_more(b)) {
		uint64_t start = bench_start();
		int r = task_spawn(&attr, IFACE(task_ops, bench_nothing), 0, &task);

		if (r == 0)
			r = task_join(task, CLOCK_NEVER, &exit);
		if (r < 0)
			return r;
		bench_stop(b, start);
	}
	return 0;
}
CELL_PROVIDE(task_ops, bench_spawn) = {.run = spawn_task};

static int spawn(struct bench *b)
{
	int r = b->param > BENCH_CROWD_MAX ? -EINVAL
					   : bench_crowd_blocked((uint32_t)b->param, bench_cpu());

	if (r < 0)
		return r;
	r = bench_on(bench_cpu(), IFACE(task_ops, bench_spawn), b);
	bench_dismiss_crowd();
	return r;
}
CELL_PROVIDE(bench_ops,
	     spawn_join) = {.run = spawn, .n_params = 5, .params = {0, 10, 100, 1000, 10000}};

/* ---- from a deadline until the task that waited for it runs ---- */

#define PERIOD_NS (300 * 1000ull) /* ns */
#define SPREAD_NS (200 * 1000ull)

static int64_t wake_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;
	uint64_t dither = 1;

	while (bench_more(b)) {
		uint64_t deadline, tsc;
		int r;

		dither = dither * 6364136223846793005ull + 1442695040888963407ull;
		deadline = clock_after(PERIOD_NS + (dither >> 40) % SPREAD_NS);
		r = task_sleep_until(deadline);
		if (r < 0)
			return r;
		tsc = bench_start();
		bench_add(b, tsc - clock_tsc_of_ns(deadline));
	}
	return 0;
}
CELL_PROVIDE(task_ops, bench_wake) = {.run = wake_task};

/*
 * Among tasks of its CPU that never give way: none (0), one of the same claim (1), one of a
 * lower claim (2).
 */
static int wake(struct bench *b)
{
	unsigned cpu = bench_cpu();
	int r;

	if (b->param > 2)
		return -EINVAL;
	r = b->param ? bench_crowd_spinning(1, cpu) : 0;
	if (r < 0)
		return r;
	r = (b->param == 2 ? bench_on_urgently : bench_on)(cpu, IFACE(task_ops, bench_wake), b);
	bench_dismiss_crowd();
	return r;
}
CELL_PROVIDE(bench_ops, wake_up) = {.run = wake, .n_params = 3, .params = {0, 1, 2}};
