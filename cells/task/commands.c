/* SPDX-License-Identifier: MIT */
/*
 * `ps` and `faults`. The command cell is linked after this one, so its printing functions
 * cannot be imported; what they fill is a plain struct.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <theseus/command.h>
#include <theseus/loader.h>

#include "internal.h"

void task_print(struct command_io *io, const char *fmt, ...)
{
	size_t room = io->size - io->used;
	va_list args;
	int n;

	if (io->truncated)
		return;
	va_start(args, fmt);
	n = vsnprintf(io->buf + io->used, room, fmt, args);
	va_end(args);
	/* a line that does not fit whole is left out: vsnprintf also needs room for its NUL */
	if (n < 0 || (size_t)n >= room)
		io->truncated = true;
	else
		io->used += (size_t)n;
}

static void owner_name(struct cell_ref owner, char ret_name[CELL_NAME_MAX])
{
	struct loader_cell cell;

	snprintf(ret_name, CELL_NAME_MAX, "%s",
		 loader_cell_of(owner, &cell) == 0 ? cell.name : "-");
}

/* A row, and what is said when more follow. */
#define PS_ROW_MAX 256u
#define PS_MORE_MAX 64u

static void print_task(struct command_io *io, const struct task_info *task)
{
	char owner[CELL_NAME_MAX];

	owner_name(task->owner, owner);
	task_print(io, "%#-12llx %-20s %-9s %3u %12llu %10llu %6llu  %s\n",
		   (unsigned long long)task_id(task->task), task->name,
		   task->running ? "running" : task_state_name(task->state), task->cpu,
		   (unsigned long long)(task->cpu_time_ns / 1000),
		   (unsigned long long)task->switches, (unsigned long long)task->stack_used, owner);
}

/* As many as the output holds: thousands would not fit. @from goes on where it ended. */
static void print_tasks(struct command_io *io, uint32_t from)
{
	struct task_info task;

	task_print(io, "%-12s %-20s %-9s %3s %12s %10s %6s  %s\n", "ID", "NAME", "STATE", "CPU",
		   "TIME/us", "SWITCHES", "STACK", "CELL");
	for (uint32_t next = from; task_next(&next, &task) == 0; from = next) {
		if (io->size - io->used < PS_ROW_MAX + PS_MORE_MAX) {
			task_print(io, "more: ps %u\n", from);
			return;
		}
		print_task(io, &task);
	}
}

static int ps_run(struct command_io *io, int argc, const char *const *argv)
{
	unsigned long from = 0;
	char *end = NULL;

	if (argc == 2)
		from = strtoul(argv[1], &end, 10);
	if (argc > 2 || (argc == 2 && (end == argv[1] || *end || from > UINT32_MAX))) {
		task_print(io, "usage: ps [FROM]\n");
		return 2;
	}
	print_tasks(io, (uint32_t)from);
	return 0;
}
CELL_PROVIDE(command_ops, ps) = {
	.run = ps_run,
	.help = "[FROM]  tasks with state, CPU and time; some, and where they go on",
};

static int faults_run(struct command_io *io, int argc, const char *const *argv)
{
	uint64_t last = upcall_fault_count();
	struct upcall_fault f;

	(void)argv;
	if (argc != 1) {
		task_print(io, "usage: faults\n");
		return 2;
	}
	task_print(io, "%llu faults since boot\n", (unsigned long long)last);
	for (uint64_t id = last > UPCALL_FAULTS_MAX ? last - UPCALL_FAULTS_MAX + 1 : 1; id <= last;
	     id++) {
		if (upcall_fault_get(id, &f) < 0)
			continue;
		task_print(io,
			   "%llu: at %llu us, %s, %s:%s+0x%llx, cr2 0x%llx, task %s, cpu %u, %s\n",
			   (unsigned long long)id, (unsigned long long)(f.time_ns / 1000), f.reason,
			   f.cell[0] ? f.cell : "?", f.function[0] ? f.function : "?",
			   (unsigned long long)f.offset, (unsigned long long)f.cr2, f.task_name,
			   f.cpu, f.outcome == UPCALL_HANDLER ? "handler ended" : "landed");
	}
	return 0;
}
CELL_PROVIDE(command_ops, faults) = {.run = faults_run, .help = "  the last fault records"};
