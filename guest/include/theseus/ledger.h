/* SPDX-License-Identifier: MIT */
/*
 * The ledger: who holds what for which task. A task's own cleanups give back what it holds;
 * where they could not run (it was ended without unwinding, or unwinding failed), and for
 * whatever it never gave back, the cells that keep things for tasks do it by owner.
 *
 * CELL_PROVIDE(ledger_ops, heap) = { .task_ended = heap_task_ended };
 */
#ifndef THESEUS_LEDGER_H
#define THESEUS_LEDGER_H

#include <theseus/mask.h>

struct ledger_ops {
	/*
	 * The task with this id has ended and runs no code of its own any more: gives back all
	 * that is still held for it. Called for every task, whatever its end, before its joiner
	 * wakes; providers that were linked later are called first. Idempotent, and cheap when
	 * the task holds nothing. Context: a task at mask depth 0, not always the ended one
	 * (task_self() does not say which ended). May take locks and mutexes; must not wait for
	 * anything that only the ended task could do.
	 */
	void (*task_ended)(uint64_t task);
};
IFACE_DEFINE(ledger_ops);

/* ---- what is done whole or not begun ---- */

/*
 * A task that comes to no kill point is ended wherever it is preempted. What it had just taken
 * from one place and not yet put into another would be known to nobody: LEDGER_WHOLE() at the
 * start of a scope has the ledger wait until the scope is left. For operations that end by
 * themselves, since a task that stays in one is never ended: those of the cells that keep things
 * for tasks, and of whoever makes something and then binds it to its task. Nests; whoever waits
 * in one is cancelled by a kill as anywhere. Unwinding leaves it too. Nor does the stack end
 * in one: the outermost faults before it begins if there is not enough. A few instructions.
 */
#define LEDGER_WHOLE()                                                                             \
	OWNED(ledger_whole_end_) struct task_head *ledger_whole_ = ledger_whole_begin_()

#define LEDGER_WANTS_ (1u << 31) /* in task_head.whole: it came by meanwhile */

#if __STDC_HOSTED__
static inline struct task_head *ledger_whole_begin_(void)
{
	return NULL;
}
static inline void ledger_whole_end_(struct task_head *const *head)
{
	(void)head;
}
#else
/* NULL: before tasks, or for an interrupt of nothing. */
static inline struct task_head *ledger_whole_begin_(void)
{
	struct task_head *head = percpu_read(task);

	if (head) {
		if (!head->whole)
			STACK_ROOM(STACK_ROOM_WHOLE);
		head->whole++;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* what counts is where the CPU is interrupted */
	return head;
}

/* The task goes through the scheduler now, or as soon as it is unmasked. */
static __attribute__((noinline, cold, unused)) void ledger_preempt_(void)
{
	upcall_mask();
	percpu_write(resched, 1);
	__asm__ volatile("orl %0, %%gs:0" ::"i"(GATE_MASK_PENDING) : "memory", "cc");
	upcall_unmask();
}

static inline void ledger_whole_end_(struct task_head *const *head)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (*head && --(*head)->whole == LEDGER_WANTS_) {
		(*head)->whole = 0;
		ledger_preempt_();
	}
}
#endif

#endif
