/* SPDX-License-Identifier: MIT */
/*
 * Where tasks are: `bt`. Stacks are read while every other CPU is parked, so nothing changes
 * meanwhile; a task that runs elsewhere is seen where it was interrupted.
 */
#include <stdlib.h>
#include <string.h>
#include <theseus/command.h>
#include <theseus/loader.h>
#include <theseus/unwind.h>

#include "internal.h"

CELL_EXPORT(task_backtrace);

#define PARK_LIMIT_NS (100 * CLOCK_MS)
#define FRAMES_SHOWN 24u

/* upcall_park_spin() pushes the same registers as switch_to(), but nothing below them. */
#define PARKED_OFFSET offsetof(struct switch_saved, r15)

/* Of a task that does not run at this moment; others are parked. */
static void registers(const struct task *task, struct unwind_regs *ret_regs)
{
	uint64_t at = task->ctx.rsp;
	const struct switch_saved *p;

	for (unsigned i = 0; i < cpu_count(); i++) {
		if (percpu_of(i)->task == &task->head)
			at = percpu_of(i)->parked_rsp - PARKED_OFFSET;
	}
	p = (const struct switch_saved *)(uintptr_t)at;
	*ret_regs = (struct unwind_regs){
		.rbx = p->rbx,
		.rbp = p->rbp,
		.r12 = p->r12,
		.r13 = p->r13,
		.r14 = p->r14,
		.r15 = p->r15,
		.rip = p->rip,
		.rsp = (uintptr_t)p->end,
	};
}

static __attribute__((noinline)) int trace(struct task_ref ref, uint64_t *ret_pcs, unsigned max)
{
	const struct task *task = record_find(ref);
	struct unwind_regs regs;

	if (!task || __atomic_load_n(&task->state, __ATOMIC_RELAXED) >= TASK_EXITED)
		return -ESTALE;
	registers(task, &regs);
	return (int)unwind_backtrace(&regs, task->head.stack_start, task->head.stack_end, ret_pcs,
				     max);
}

int task_backtrace(struct task_ref ref, uint64_t *ret_pcs, unsigned max)
{
	const struct task *self = current();
	unsigned cpu;
	int r;

	if (self->slot == ref.slot && self->generation == ref.generation)
		return (int)unwind_backtrace(NULL, self->head.stack_start, self->head.stack_end,
					     ret_pcs, max);
	r = cpu_park_others(PARK_LIMIT_NS, &cpu);
	if (r < 0)
		return r == -EBUSY ? -EAGAIN : r;
	r = trace(ref, ret_pcs, max);
	cpu_release_others();
	return r;
}

/* ---- bt ---- */

static void show(struct command_io *io, const struct task_info *task)
{
	uint64_t pcs[FRAMES_SHOWN];
	struct loader_location at;
	int n = task_backtrace(task->task, pcs, ARRAY_SIZE(pcs));

	task_print(io, "%#llx %s %s", (unsigned long long)task_id(task->task), task->name,
		   task->running ? "running" : task_state_name(task->state));
	if (task->running)
		task_print(io, " on cpu %u", task->cpu);
	task_print(io, n < 0 ? ": no backtrace, error %d\n" : "\n", -n);
	for (int i = 0; i < n; i++) {
		if (loader_locate(pcs[i], &at) < 0)
			task_print(io, "  #%d 0x%llx\n", i, (unsigned long long)pcs[i]);
		else
			task_print(io, "  #%d %s:%s+0x%llx%s\n", i, at.cell,
				   at.function[0] ? at.function : "?",
				   (unsigned long long)at.offset,
				   unwind_covers(pcs[i]) ? "" : " (no unwind information)");
	}
}

/* Whether @word is the task's name, or its id as `ps` shows it. */
static bool is_meant(const char *word, const struct task_info *task)
{
	char *end;
	uint64_t id = strtoull(word, &end, 16);

	return strcmp(word, task->name) == 0 || (*word && !*end && id == task_id(task->task));
}

static int bt_run(struct command_io *io, int argc, const char *const *argv)
{
	struct task_info task;
	uint32_t cursor = 0;
	bool found = false;

	if (argc > 2) {
		task_print(io, "usage: bt [TASK]\n");
		return 2;
	}
	while (task_next(&cursor, &task) == 0) {
		if (task.state >= TASK_EXITED || (argc == 2 && !is_meant(argv[1], &task)))
			continue;
		found = true;
		show(io, &task);
	}
	if (!found)
		task_print(io, "bt: no task is called %s\n", argc == 2 ? argv[1] : "anything");
	return found ? 0 : 1;
}
CELL_PROVIDE(command_ops, bt) = {.run = bt_run,
				 .help = "[TASK]  where tasks are; TASK: id or name"};
