/* SPDX-License-Identifier: MIT */
/*
 * Unwinding to a landing, after a fault or at the end of a task.
 *
 * It runs as the task, on its own stack and at the landing's mask depth, so it may be
 * preempted and its cleanups may block. All it needs to remember is in the landing, which lies
 * above everything that is unwound. A landing that is already being unwound to is the sign
 * that unwinding or a cleanup itself went wrong: then the task goes on there at once, what
 * its frames held is left to the ledger, and that is counted. A cleanup may protect a call of
 * its own; that has a landing of its own.
 */
#include <theseus/switch.h>

#include "internal.h"

CELL_EXPORT(upcall_end);
CELL_EXPORT(upcall_unwinds);

/* More than there can be on the largest stack. */
#define FRAMES_MAX 16384u

_Static_assert(sizeof(struct unwind) == sizeof(((struct percpu_landing *)NULL)->unwind), "ABI");

static struct unwind *unwind_of(struct percpu_landing *landing)
{
	return (struct unwind *)(void *)landing->unwind;
}

/* The mask depth to call switch_land() with. */
static void set_depth(const struct percpu_landing *landing)
{
	while (upcall_depth() > landing->depth + 1)
		__asm__ volatile("decl %%gs:0" ::: "memory", "cc");
	while (upcall_depth() < landing->depth + 1)
		upcall_mask();
}

/* Goes on at @landing. What stood there is forgotten: a scan of stacks must not find it. */
static __attribute__((noreturn)) void land(struct percpu_landing *landing)
{
	int result = landing->result;
	uint64_t value = landing->value;

	set_depth(landing);
	reserve_give(percpu_read(task), (uintptr_t)landing);
	memset(&landing->unwinding, 0,
	       sizeof(*landing) - offsetof(struct percpu_landing, unwinding));
	switch_land(landing, result, value);
}

void upcall_unwind_failed(struct percpu_landing *landing)
{
	percpu_read(task)->unwind_failures++;
	__atomic_add_fetch(&upcall_state()->unwinds.failed, 1, __ATOMIC_RELAXED);
	land(landing);
}

/* unwind.frame: each frame before its cleanups. */
static void on_frame(struct unwind *unwind, uint64_t sp, bool end)
{
	struct percpu_landing *landing =
		(struct percpu_landing *)(void *)((char *)unwind -
						  offsetof(struct percpu_landing, unwind));

	if (!end && sp == (uintptr_t)landing) {
		__atomic_add_fetch(&upcall_state()->unwinds.done, 1, __ATOMIC_RELAXED);
		land(landing);
	}
	if (end || sp > (uintptr_t)landing || sp < percpu_read(task)->stack_start ||
	    ++landing->frames > FRAMES_MAX)
		upcall_unwind_failed(landing);
}

bool upcall_unwinding_any(void)
{
	const struct percpu_landing *landing = percpu_read(landing);

	while (landing && !landing->unwinding)
		landing = landing->outer;
	return landing;
}

void upcall_unwind_begin(struct percpu_landing *landing, int result, uint64_t value)
{
	landing->result = result;
	landing->value = value;
	landing->frames = 0;
	unwind_of(landing)->frame = on_frame;
	landing->unwinding = 1;
	spin_release_to(landing->locks);
	set_depth(landing);
}

static void force(void *landing)
{
	unwind_force(unwind_of(landing));
}

void upcall_unwind_fault(struct upcall_start *start)
{
	struct percpu_landing *landing = percpu_read(landing);

	upcall_unmask();
	upcall_fault_trace(start->fault, &start->regs);
	unwind_from(&start->regs, force, landing);
	upcall_unwind_failed(landing);
}

void upcall_end(uint64_t value)
{
	struct percpu_landing *landing = percpu_read(landing);

	upcall_mask();
	if (!landing)
		upcall_crash("a task ends that nothing protects");
	if (landing->unwinding) {
		landing->result = -ECANCELED;
		landing->value = value;
		upcall_unwind_failed(landing);
	}
	upcall_unwind_begin(landing, -ECANCELED, value);
	upcall_unmask();
	force(landing);
	upcall_unwind_failed(landing);
}

void upcall_unwinds(struct upcall_unwinds *ret_counts)
{
	const struct upcall_unwinds *u = &upcall_state()->unwinds;

	ret_counts->done = __atomic_load_n(&u->done, __ATOMIC_RELAXED);
	ret_counts->failed = __atomic_load_n(&u->failed, __ATOMIC_RELAXED);
}
