/* SPDX-License-Identifier: MIT */
/* The tasks, some at a time, and the stack of one. */
#include "agent.h"

#include <string.h>

#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/task.h>

#define ROWS_MAX 128u   /* of one answer */
#define FRAMES_MAX 32u  /* of a stack */
#define TRACE_TRIES 16u /* a task that keeps running meanwhile is listed without its stack */

struct task_rows {
	Theseus__TaskRow *list[ROWS_MAX];
	Theseus__TaskRow rows[ROWS_MAX];
	struct task_info tasks[ROWS_MAX];
	struct loader_cell cells[ROWS_MAX];
};

struct frame_rows {
	Theseus__StackFrame *list[FRAMES_MAX];
	Theseus__StackFrame rows[FRAMES_MAX];
	struct loader_location at[FRAMES_MAX];
	uint64_t pcs[FRAMES_MAX];
};

static void find_cell(struct cell_ref ref, struct loader_cell *ret_cell)
{
	if (loader_cell_of(ref, ret_cell) < 0)
		*ret_cell = (struct loader_cell){.name = ""};
}

/* @info and @cell have to live as long as @row. */
static void fill(Theseus__TaskRow *row, struct task_info *info, struct loader_cell *cell)
{
	find_cell(info->owner, cell);
	theseus__task_row__init(row);
	row->id = task_id(info->task);
	row->name = info->name;
	row->state = agent_text(info->running ? "running" : task_state_name(info->state));
	row->cpu = info->cpu;
	row->cell = cell->name;
	row->cpu_time_ns = info->cpu_time_ns;
	row->restarts = info->restarts;
	row->switches = info->switches;
	row->affinity = info->affinity;
	row->priority = info->priority;
	row->stack_bytes = info->stack_bytes;
	row->stack_used = info->stack_used;
}

static void answer(const struct agent_call *call, Theseus__TaskRow **rows, size_t n, uint32_t next)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__TasksReply reply = THESEUS__TASKS_REPLY__INIT;

	reply.tasks = rows;
	reply.n_tasks = n;
	reply.next = next;
	r.body_case = THESEUS__RESPONSE__BODY_TASKS;
	r.tasks = &reply;
	agent_answer(call, &r);
}

static void some_tasks(const struct agent_call *call, struct task_rows *t, const char *name,
		       uint32_t from)
{
	uint32_t cursor = from;
	bool more = true;
	size_t n = 0;

	while (n < ROWS_MAX && (more = task_next(&cursor, &t->tasks[n]) == 0)) {
		if (name[0] && strcmp(name, t->tasks[n].name) != 0)
			continue;
		fill(&t->rows[n], &t->tasks[n], &t->cells[n]);
		t->list[n] = &t->rows[n];
		n++;
	}
	answer(call, t->list, n, more ? cursor : 0);
}

/* Result: how many frames; none of a task that runs. */
static size_t list_frames(struct frame_rows *f, struct task_ref task)
{
	int n = -EAGAIN;

	for (unsigned i = 0; i < TRACE_TRIES && n == -EAGAIN; i++)
		n = task_backtrace(task, f->pcs, FRAMES_MAX);
	for (int i = 0; i < n; i++) {
		theseus__stack_frame__init(&f->rows[i]);
		f->rows[i].pc = f->pcs[i];
		f->list[i] = &f->rows[i];
		if (loader_locate(f->pcs[i], &f->at[i]) < 0)
			continue;
		f->rows[i].cell = f->at[i].cell;
		f->rows[i].function = f->at[i].function;
		f->rows[i].offset = f->at[i].offset;
	}
	return n > 0 ? (size_t)n : 0;
}

static void one_task(const struct agent_call *call, struct task_rows *t, uint64_t id)
{
	struct task_ref task = {.slot = (uint32_t)id, .generation = (uint32_t)(id >> 32)};
	OWNED(heap_drop) struct frame_rows *f = heap_alloc(CELL_SELF, sizeof(*f));

	if (task_describe(task, &t->tasks[0]) < 0) {
		agent_fail(call, THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-task",
			   "no task has the id %#llx", (unsigned long long)id);
		return;
	}
	fill(&t->rows[0], &t->tasks[0], &t->cells[0]);
	t->list[0] = &t->rows[0];
	if (f) {
		t->rows[0].n_stack = list_frames(f, task);
		t->rows[0].stack = f->list;
	}
	answer(call, t->list, 1, 0);
}

void agent_tasks(const struct agent_call *call, const Theseus__TasksGet *m)
{
	OWNED(heap_drop) struct task_rows *t = heap_alloc(CELL_SELF, sizeof(*t));

	if (!t) {
		agent_fail(call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
			   "the guest has no memory for the answer");
		return;
	}
	if (m->id)
		one_task(call, t, m->id);
	else
		some_tasks(call, t, m->name, m->from);
}
