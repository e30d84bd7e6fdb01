/* SPDX-License-Identifier: MIT */
/*
 * What the loader hands over to when the boot bundle is linked. It is here because the
 * loader is linked before the cells that this needs.
 */
#include "internal.h"

#include <theseus/log.h>
#include <theseus/upcall.h>

/* Waits until nothing runs on the boot stack any more, and frees it. */
static int64_t reap(uint64_t arg)
{
	struct swap_cell_state *s = swap_cell();
	struct task_exit exit;

	(void)arg;
	if (task_join(s->boot, CLOCK_NEVER, &exit) == 0)
		mapped_drop(&s->boot_stack);
	return 0;
}

CELL_PROVIDE(task_ops, swap_reap) = {.run = reap};

static void start(const struct cell_boot *boot, uint64_t stack, uint64_t stack_bytes)
{
	const struct task_attr attr = {.name = "boot reaper", .detached = true};
	struct swap_cell_state *s = swap_cell();
	struct task_ref reaper;
	int r;

	(void)boot;
	if (mapped_adopt(MAPPED_DATA, (vaddr_t){stack}, stack_bytes, &s->boot_stack) < 0)
		upcall_crash("boot: the boot stack is unknown to `mapped`");
	if (task_start(stack, stack + stack_bytes, &s->boot) < 0)
		upcall_crash("boot: tasks cannot start");
	if (task_spawn(&attr, IFACE(task_ops, swap_reap), 0, &reaper) < 0)
		upcall_crash("boot: no task can be spawned");
	r = service_start_all();
	if (r < 0)
		log_write(LOG_ERROR, CELL_SELF, "a service cannot be started: error %d", r);
	task_exit(0);
}

CELL_PROVIDE(boot_ops, swap) = {.start = start};
