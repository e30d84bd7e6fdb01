/* SPDX-License-Identifier: MIT */
/* The state and the entries that sched_rr and sched_priority share, each with its own. */
#ifndef SCHED_LEVELS_CELL_H
#define SCHED_LEVELS_CELL_H

#include "levels.h"

int levels_cell_start(unsigned cpus);
int levels_cell_reserve(uint32_t slots);
unsigned levels_cell_enqueue(const struct sched_task *task, enum sched_why why, unsigned here);
int levels_cell_replace(const struct sched_task *task, enum sched_why why, unsigned cpu,
			unsigned *ret_where);
void levels_cell_blocked(const struct sched_task *task, unsigned cpu);
int levels_cell_dequeue(uint32_t slot);
int levels_cell_pick(unsigned cpu);
bool levels_cell_contended(unsigned cpu);
uint64_t levels_cell_tick(unsigned cpu, uint64_t ran_ns);
int levels_cell_helper(unsigned cpu);
unsigned levels_cell_queued(unsigned cpu);

#define LEVELS_OPS                                                                                 \
	{                                                                                          \
		.start = levels_cell_start, .reserve = levels_cell_reserve,                        \
		.enqueue = levels_cell_enqueue, .replace = levels_cell_replace,                    \
		.blocked = levels_cell_blocked, .dequeue = levels_cell_dequeue,                    \
		.pick = levels_cell_pick, .contended = levels_cell_contended,                      \
		.tick = levels_cell_tick, .helper = levels_cell_helper,                            \
		.queued = levels_cell_queued,                                                      \
	}

#endif
