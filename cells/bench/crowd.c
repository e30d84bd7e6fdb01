/* SPDX-License-Identifier: MIT */
/* Tasks that benchmarks run in, and among. */
#include <theseus/heap.h>

#include "internal.h"

#define JOIN_NS (20 * CLOCK_S)
#define BATCH 64u /* yields, or looks at the clock, before a task lets its code be changed */

static unsigned cpus(void)
{
	return ((const struct boot_record *)(uintptr_t)GATE_BOOT_RECORD)->cpus;
}

unsigned bench_cpu(void)
{
	return cpus() > 1 ? 1 : 0;
}

int bench_other_cpu(void)
{
	return cpus() > 1 ? 0 : -ENODEV;
}

static int run_on(unsigned cpu, int priority, struct task_ops_h entry, void *arg)
{
	struct task_attr attr = {.name = "bench", .affinity = 1ull << cpu, .priority = priority};
	struct task_ref task;
	struct task_exit exit;
	int r = task_spawn(&attr, entry, (uint64_t)(uintptr_t)arg, &task);

	if (r == 0)
		r = task_join(task, CLOCK_NEVER, &exit);
	if (r < 0)
		return r;
	return exit.end == TASK_COMPLETED ? (int)exit.value : -EFAULT;
}

int bench_on(unsigned cpu, struct task_ops_h entry, void *arg)
{
	return run_on(cpu, 0, entry, arg);
}

int bench_on_urgently(unsigned cpu, struct task_ops_h entry, void *arg)
{
	return run_on(cpu, SCHED_PRIORITY_MAX, entry, arg);
}

int bench_crowd(uint32_t n, unsigned cpu, struct task_ops_h entry, uint64_t arg)
{
	struct task_attr attr = {
		.name = "bench crowd", .affinity = 1ull << cpu, .stack_bytes = TASK_STACK_MIN};
	struct bench_state *s = bench_state();
	int r = 0;

	if (n > BENCH_CROWD_MAX || s->crowd)
		return -EINVAL;
	s->crowd = heap_alloc(CELL_SELF, (n ? n : 1) * sizeof(*s->crowd));
	if (!s->crowd)
		return -ENOMEM;
	__atomic_store_n(&s->stop, 0, __ATOMIC_RELAXED);
	while (r == 0 && s->crowd_n < n) {
		r = task_spawn(&attr, entry, arg, &s->crowd[s->crowd_n]);
		s->crowd_n += r == 0;
	}
	if (r < 0)
		bench_dismiss_crowd();
	return r;
}

bool bench_stopping(void)
{
	return __atomic_load_n(&bench_state()->stop, __ATOMIC_RELAXED);
}

void bench_dismiss_crowd(void)
{
	struct bench_state *s = bench_state();
	struct task_exit exit;

	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	task_event_signal(&s->stopped);
	while (s->crowd_n > 0) {
		s->crowd_n--;
		(void)task_kill(s->crowd[s->crowd_n]);
		(void)!task_join(s->crowd[s->crowd_n], clock_after(JOIN_NS), &exit);
	}
	heap_free(s->crowd);
	s->crowd = NULL;
}

/* ---- what crowds do ---- */

static int64_t yielder(uint64_t arg)
{
	(void)arg;
	for (unsigned i = 0; i < BATCH; i++) {
		if (bench_stopping())
			return 0;
		task_yield();
		bench_came_back(&bench_state()->switches,
				(uint64_t)(uintptr_t)__builtin_frame_address(0));
	}
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, bench_yielder) = {.run = yielder};

static int64_t sleeper(uint64_t arg)
{
	struct task_event *stopped = &bench_state()->stopped;
	uint64_t seen = task_event_count(stopped);

	(void)arg;
	if (bench_stopping() || task_event_wait(stopped, seen, CLOCK_NEVER) == -ECANCELED)
		return 0;
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, bench_sleeper) = {.run = sleeper};

static int64_t spinner(uint64_t arg)
{
	(void)arg;
	for (unsigned i = 0; i < BATCH * BATCH; i++) {
		if (bench_stopping())
			return 0;
		__builtin_ia32_pause();
	}
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, bench_spinner) = {.run = spinner};

int bench_crowd_blocked(uint32_t n, unsigned cpu)
{
	return bench_crowd(n, cpu, IFACE(task_ops, bench_sleeper), 0);
}

int bench_crowd_yielding(uint32_t n, unsigned cpu)
{
	return bench_crowd(n, cpu, IFACE(task_ops, bench_yielder), 0);
}

int bench_crowd_spinning(uint32_t n, unsigned cpu)
{
	return bench_crowd(n, cpu, IFACE(task_ops, bench_spinner), 0);
}
