/* SPDX-License-Identifier: MIT */
/*
 * Code that no generation has any more while a task is in it. Nobody new comes in, so it is
 * looked at again only when there is a reason to: a swap is over, or somebody asks what the
 * system holds.
 */
#include "internal.h"

#include <theseus/log.h>
#include <theseus/upcall.h>

#define PARK_LIMIT_NS (100 * CLOCK_MS)

int swap_find_inside(const struct swap_ranges *ranges, struct task_hit *ret_hit)
{
	unsigned cpu;
	int r = cpu_park_others(PARK_LIMIT_NS, &cpu);

	if (r < 0)
		return r;
	r = task_scan(ranges->list, ranges->n, ret_hit);
	cpu_release_others();
	if (r > 0)
		(void)task_restart_waits(ranges->list, ranges->n);
	return r;
}

/* Result: whether @stage is gone. */
static bool try_to_free(struct loader_stage *stage, struct swap_ranges *room)
{
	struct task_hit hit; /* who it is was said when the stage came here */

	swap_list_old(stage, room);
	if (swap_find_inside(room, &hit) != 0 || loader_stage_needed(stage))
		return false;
	log_write(LOG_INFO, CELL_SELF, "replaced code was left: %lu bytes given back",
		  loader_stage_finalise(stage));
	return true;
}

void swap_quarantine_look(void)
{
	OWNED(heap_drop) struct swap_ranges *room = NULL;
	struct loader_stage *stage;
	uint32_t i = 0;

	if (!loader_quarantined_stage(0))
		return;
	room = heap_alloc(CELL_SELF, sizeof(*room));
	/* the oldest first: what only it needs goes with it */
	while (room && (stage = loader_quarantined_stage(i)))
		i += !try_to_free(stage, room);
}
