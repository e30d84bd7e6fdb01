/* SPDX-License-Identifier: MIT */
#include "levels-cell.h"

#include <string.h>
#include <theseus/heap.h>

CELL_STATE(struct levels, levels) = {.n_slots = 0};

int levels_cell_start(unsigned cpus)
{
	return levels_start(&levels, cpus);
}

/* One at a time: the task cell sees to it. Chunks stay for good and are nobody's leak. */
int levels_cell_reserve(uint32_t slots)
{
	struct levels_chunk *chunk;

	while (levels.n_slots < slots) {
		chunk = heap_alloc((struct cell_ref){0}, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		memset(chunk, 0, sizeof(*chunk));
		(void)levels_add(&levels, chunk);
	}
	return 0;
}

unsigned levels_cell_enqueue(const struct sched_task *task, enum sched_why why, unsigned here)
{
	return levels_enqueue(&levels, task, why, here);
}

int levels_cell_replace(const struct sched_task *task, enum sched_why why, unsigned cpu,
			unsigned *ret_where)
{
	return levels_replace(&levels, task, why, cpu, ret_where);
}

void levels_cell_blocked(const struct sched_task *task, unsigned cpu)
{
	(void)task;
	(void)cpu;
}

int levels_cell_dequeue(uint32_t slot)
{
	return levels_dequeue(&levels, slot);
}

int levels_cell_pick(unsigned cpu)
{
	return levels_pick(&levels, cpu);
}

bool levels_cell_contended(unsigned cpu)
{
	return levels_contended(&levels, cpu);
}

uint64_t levels_cell_tick(unsigned cpu, uint64_t ran_ns)
{
	return levels_tick(&levels, cpu, ran_ns);
}

int levels_cell_helper(unsigned cpu)
{
	return levels_helper(&levels, cpu);
}

unsigned levels_cell_queued(unsigned cpu)
{
	return levels_queued(&levels, cpu);
}
