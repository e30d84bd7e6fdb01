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

#include <theseus/cell.h>

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

#endif
