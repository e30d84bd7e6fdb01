/* SPDX-License-Identifier: MIT */
/*
 * Calls the ledger of every cell when a task has ended. Tasks end far more often than cells
 * come and go, so the providers are looked up once a generation.
 */
#include <theseus/ledger.h>
#include <theseus/loader.h>

#include "internal.h"

CELL_CONSUMES(ledger_ops);

/* Providers as of now; result: how many. */
static unsigned look_up(struct ledger_ops_h ret_handles[LEDGERS_MAX])
{
	char name[CELL_NAME_MAX];
	unsigned n = 0;

	while (n < LEDGERS_MAX && iface_at("ledger_ops", n, name, &ret_handles[n].h) == 0)
		n++;
	return n;
}

static unsigned providers(struct ledger_ops_h ret_handles[LEDGERS_MAX])
{
	struct ledgers *l = &tasks()->ledgers;
	uint64_t generation = loader_generation() + 1;
	unsigned n = 0;

	spin_lock(&l->lock);
	if (l->generation == generation) {
		n = l->n;
		for (unsigned i = 0; i < n; i++)
			ret_handles[i] = l->handles[i];
		spin_unlock(&l->lock);
		return n;
	}
	spin_unlock(&l->lock);
	n = look_up(ret_handles);
	spin_lock(&l->lock);
	for (unsigned i = 0; i < n; i++)
		l->handles[i] = ret_handles[i];
	l->n = n;
	l->generation = generation;
	spin_unlock(&l->lock);
	return n;
}

void ledger_task_ended(uint64_t task)
{
	struct ledger_ops_h handles[LEDGERS_MAX];
	const struct ledger_ops *ops;

	for (unsigned i = providers(handles); i > 0; i--) {
		ops = ledger_ops_get(handles[i - 1]);
		if (ops)
			ops->task_ended(task);
	}
}
