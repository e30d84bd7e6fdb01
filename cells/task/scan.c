/* SPDX-License-Identifier: MIT */
/*
 * The conservative scan: is there a word on a live stack that points into these ranges?
 * Registers of a task that does not run are on its stack: switch_to() and the upcall entry
 * put them there, those of a parked CPU upcall_park_spin().
 */
#include <string.h>

#include "internal.h"

CELL_EXPORT(task_scan);
CELL_EXPORT(task_restart_waits);

struct scan {
	const struct task_range *ranges;
	unsigned n;
	uint64_t low, high; /* of all ranges: most words fail against these two */
};

static struct scan scan_of(const struct task_range *ranges, unsigned n)
{
	struct scan s = {.ranges = ranges, .n = n, .low = UINT64_MAX, .high = 0};

	for (unsigned i = 0; i < n; i++) {
		if (ranges[i].start < s.low)
			s.low = ranges[i].start;
		if (ranges[i].end > s.high)
			s.high = ranges[i].end;
	}
	return s;
}

/* Address of the first word in [@from, @to) that points into a range; 0 = none. */
static uint64_t find(const struct scan *s, uint64_t from, uint64_t to)
{
	const uint64_t *word = (const uint64_t *)(uintptr_t)((from + 7) & ~7ull);
	const uint64_t *end = (const uint64_t *)(uintptr_t)(to & ~7ull);

	for (; word < end; word++) {
		if (__builtin_expect(*word < s->low || *word >= s->high, 1))
			continue;
		for (unsigned i = 0; i < s->n; i++) {
			if (*word >= s->ranges[i].start && *word < s->ranges[i].end)
				return (uintptr_t)word;
		}
	}
	return 0;
}

/* From where on the stack of @task is live; @here: the scanning task's own. */
static uint64_t live_from(const struct task *task, uint64_t here)
{
	if (task == current())
		return here;
	for (unsigned i = 0; i < cpu_count(); i++) {
		if (percpu_of(i)->task == &task->head)
			return percpu_of(i)->parked_rsp;
	}
	return task->ctx.rsp;
}

/*
 * A word that matches may be no more than what an earlier call left between the variables of a
 * later one: such a task cleans its stack when it comes to its bottom.
 */
static bool hit(const struct scan *s, struct task *task, uint64_t here, struct task_hit *ret_hit)
{
	uint64_t at = find(s, live_from(task, here), task->head.stack_end);

	if (!at)
		return false;
	task->unclean = true;
	*ret_hit = (struct task_hit){
		.task = {task->slot, task->generation},
		.at = at,
		.word = *(const uint64_t *)(uintptr_t)at,
	};
	memcpy(ret_hit->name, task->head.name, sizeof(ret_hit->name));
	return true;
}

/* Its frame holds bounds of ranges, so the caller's stack counts from @here on only. */
static __attribute__((noinline)) int scan_all(const struct task_range *ranges, unsigned n,
					      uint64_t here, struct task_hit *ret_hit)
{
	struct scan s = scan_of(ranges, n);
	struct tasks *t = tasks();
	struct task_hit last = {.at = 0}; /* not in the caller's frame, which is scanned too */
	bool found = false;

	for (uint32_t i = 0; i < t->n_slots; i++) {
		if (task_in(i) && task_in(i)->state < TASK_EXITED)
			found |= hit(&s, task_in(i), here, &last);
	}
	for (unsigned i = 0; i < cpu_count(); i++) {
		/* one that does not run has no stack to come back to: run_idle() */
		if (t->cpus[i].idle && t->cpus[i].idle->ctx.running)
			found |= hit(&s, t->cpus[i].idle, here, &last);
	}
	if (found)
		*ret_hit = last;
	return found;
}

int task_scan(const struct task_range *ranges, unsigned n, struct task_hit *ret_hit)
{
	int r;

	__atomic_add_fetch(&tasks()->scans, 1, __ATOMIC_RELAXED);
	__builtin_unwind_init(); /* rbx, r12 … r15 of the caller lie just below this frame's base */
	r = scan_all(ranges, n, (uintptr_t)__builtin_frame_address(0) - 5 * 8, ret_hit);
	__asm__ volatile("" : "+r"(r)); /* no tail call: the frame must stay */
	return r;
}

unsigned task_restart_waits(const struct task_range *ranges, unsigned n)
{
	struct scan s = scan_of(ranges, n);
	struct tasks *t = tasks();
	unsigned restarted = 0;
	struct task *task;

	spin_lock(&t->lock);
	for (uint32_t i = 0; i < t->n_slots; i++) {
		task = task_in(i);
		if (!task || __atomic_load_n(&task->state, __ATOMIC_ACQUIRE) != TASK_BLOCKED ||
		    __atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE))
			continue;
		if (find(&s, task->ctx.rsp, task->head.stack_end))
			restarted += sleep_end(task, -ERESTART_CELL);
	}
	spin_unlock(&t->lock);
	return restarted;
}
