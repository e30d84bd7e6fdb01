/* SPDX-License-Identifier: MIT */
/*
 * Stacks that have overflowed are extended into their guard while they are unwound: cleanups
 * of the innermost frames run right where the stack ended. The memory comes from a pool that is
 * filled beforehand, because the code that overflowed may have held the locks of whoever
 * allocates. Only one page of the guard is left then.
 */
#include <theseus/frames.h>
#include <theseus/gate-call.h>

#include "internal.h"

#define RESERVE_BYTES (UPCALL_RESERVE_PAGES * PAGE_SIZE)

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

static int map(struct upcall_reserve *r, uint64_t va)
{
	const struct gate_run run = {.va = va,
				     .pa = r->frames.start.v,
				     .pages = UPCALL_RESERVE_PAGES,
				     .flags = GATE_RUN_WRITE};
	int64_t e = gate_map(&run, 1);

	/* the guard may lie where no page table is yet; the gate keeps what it is given */
	if (e == -ENOMEM && r->table.count && gate_table(r->table.start.v) >= 0) {
		r->table = (struct frame_run){{0}, 0};
		e = gate_map(&run, 1);
	}
	return e < 0 ? (int)e : 0;
}

int reserve_take(struct task_head *task)
{
	struct upcall_reserve *reserves = upcall_state()->reserves;
	uint64_t va = task->stack_start - RESERVE_BYTES;

	if (task->reserve)
		return -EBUSY;
	for (unsigned i = 0; i < UPCALL_RESERVES; i++) {
		int e;

		if (reserves[i].frames.count == 0 ||
		    __atomic_exchange_n(&reserves[i].used, 1, __ATOMIC_ACQUIRE))
			continue;
		e = map(&reserves[i], va);
		if (e < 0) {
			__atomic_store_n(&reserves[i].used, 0, __ATOMIC_RELEASE);
			return e;
		}
		task->stack_start = va;
		task->reserve = i + 1;
		return 0;
	}
	return -ENOMEM;
}

void reserve_give(struct task_head *task, uint64_t sp)
{
	struct upcall_reserve *r;
	struct gate_run run = {.va = task->stack_start, .pages = UPCALL_RESERVE_PAGES};
	uint64_t here = (uintptr_t)__builtin_frame_address(0);

	if (!task->reserve || sp < run.va + RESERVE_BYTES ||
	    (here >= run.va && here < run.va + RESERVE_BYTES + UNWIND_STACK_BYTES / 2))
		return;
	r = &upcall_state()->reserves[task->reserve - 1];
	if (gate_unmap(&run, 1) != UPCALL_RESERVE_PAGES)
		upcall_crash("the gate does not unmap the reserve of a stack");
	task->stack_start += RESERVE_BYTES;
	task->reserve = 0;
	__atomic_store_n(&r->used, 0, __ATOMIC_RELEASE);
}

void upcall_stack_restore(struct task_head *task)
{
	upcall_mask();
	reserve_give(task, UINT64_MAX);
	upcall_unmask();
}
