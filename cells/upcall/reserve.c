/* SPDX-License-Identifier: MIT */
/*
 * Stacks that have overflowed are extended into their guard while they are unwound: cleanups
 * of the innermost frames run right where the stack ended. Only one page of the guard is left
 * then. The memory comes from a pool that is filled beforehand, because the code that overflowed
 * may have held the locks of whoever allocates.
 *
 * An interrupt that finds too little room is no overflow: the task has done nothing, and ending
 * it at whatever instruction that is would lose what it has just been given. The stack is
 * extended by a part of the same memory, the interrupt is handled and the task goes on; a later
 * interrupt that finds it higher up gives the memory back. If the task overflows before that, the
 * rest is still there to unwind it.
 */
#include <theseus/frames.h>
#include <theseus/gate-call.h>

#include "internal.h"

int reserve_prepare(unsigned cpu)
{
	struct upcall_reserve *r = &upcall_state()->reserves[cpu * UPCALL_RESERVES_PER_CPU];
	int error = 0;

	for (unsigned i = 0; i < UPCALL_RESERVES_PER_CPU && error == 0; i++) {
		error = frames_alloc(UPCALL_RESERVE_PAGES, 1, &r[i].frames);
		if (error == 0)
			error = frames_alloc(1, 1, &r[i].table);
	}
	return error;
}

static int map(struct upcall_reserve *r, const struct gate_run *run)
{
	int64_t e = gate_map(run, 1);

	/* the guard may lie where no page table is yet; the gate keeps what it is given */
	if (e == -ENOMEM && r->table.count && gate_table(r->table.start.v) >= 0) {
		r->table = (struct frame_run){{0}, 0};
		e = gate_map(run, 1);
	}
	return e < 0 ? (int)e : 0;
}

/* The frames from the highest down, as the stack grows. */
static int extend(struct upcall_reserve *r, struct task_head *task, unsigned pages)
{
	unsigned more = pages - task->reserve_pages;
	const struct gate_run run = {.va = task->stack_start - more * PAGE_SIZE,
				     .pa = r->frames.start.v +
					   (UPCALL_RESERVE_PAGES - pages) * PAGE_SIZE,
				     .pages = more,
				     .flags = GATE_RUN_WRITE};
	int e = map(r, &run);

	if (e < 0)
		return e;
	task->stack_start = run.va;
	task->reserve_pages = (uint16_t)pages;
	return 0;
}

int reserve_take(struct task_head *task, unsigned pages)
{
	struct upcall_reserve *reserves = upcall_state()->reserves;

	if (task->reserve_pages >= pages)
		return -EBUSY;
	if (task->reserve)
		return extend(&reserves[task->reserve - 1], task, pages);
	for (unsigned i = 0; i < UPCALL_RESERVES; i++) {
		int e;

		if (reserves[i].frames.count == 0 ||
		    __atomic_exchange_n(&reserves[i].used, 1, __ATOMIC_ACQUIRE))
			continue;
		e = extend(&reserves[i], task, pages);
		if (e < 0)
			__atomic_store_n(&reserves[i].used, 0, __ATOMIC_RELEASE);
		else
			task->reserve = (uint16_t)(i + 1);
		return e;
	}
	return -ENOMEM;
}

void reserve_give(struct task_head *task, uint64_t sp)
{
	struct upcall_reserve *r;
	struct gate_run run = {.va = task->stack_start, .pages = task->reserve_pages};
	uint64_t here = (uintptr_t)__builtin_frame_address(0);
	uint64_t end = run.va + run.pages * PAGE_SIZE;

	if (!task->reserve || sp < end || (here >= run.va && here < end + UNWIND_STACK_BYTES / 2))
		return;
	r = &upcall_state()->reserves[task->reserve - 1];
	if (gate_unmap(&run, 1) != task->reserve_pages)
		upcall_crash("the gate does not unmap the reserve of a stack");
	task->stack_start = end;
	task->reserve = 0;
	task->reserve_pages = 0;
	__atomic_store_n(&r->used, 0, __ATOMIC_RELEASE);
}

void upcall_stack_restore(struct task_head *task)
{
	upcall_mask();
	reserve_give(task, UINT64_MAX);
	upcall_unmask();
}
