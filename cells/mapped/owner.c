/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <theseus/ledger.h>

#define DROP_AT_ONCE 16u

static void link_owned(struct extent *e, uint32_t slot, uint64_t task) REQUIRES(mapped_slots)
{
	uint32_t *head = extent_owned(task);

	e->task = task;
	if (task == 0)
		return;
	e->owned.prev = 0;
	e->owned.next = *head;
	if (*head)
		extent_at(*head)->owned.prev = slot;
	__atomic_store_n(head, slot, __ATOMIC_RELEASE);
}

void extent_unbind(struct extent *e)
{
	if (e->task == 0)
		return;
	if (e->owned.next)
		extent_at(e->owned.next)->owned.prev = e->owned.prev;
	if (e->owned.prev)
		extent_at(e->owned.prev)->owned.next = e->owned.next;
	else
		__atomic_store_n(extent_owned(e->task), e->owned.next, __ATOMIC_RELAXED);
	e->task = 0;
}

int mapped_bind(struct mapped region, uint64_t task)
{
	struct extent *e;
	int r = -ESTALE;

	slots_lock();
	e = extent_find(region.slot);
	if (e && e->generation == region.generation &&
	    (e->use == EXTENT_LIVE || e->use == EXTENT_BUSY)) {
		extent_unbind(e);
		link_owned(e, region.slot, task);
		r = 0;
	}
	slots_unlock();
	return r;
}
CELL_EXPORT(mapped_bind);

/*
 * Takes up to DROP_AT_ONCE regions away from @task. One that is being changed is left to who
 * changes it. Result: how many there are to drop; *ret_more says whether there may be others.
 */
static unsigned take_owned(uint64_t task, struct mapped *ret_regions, bool *ret_more)
{
	unsigned n = 0;
	uint32_t slot, next;

	slots_lock();
	for (slot = *extent_owned(task); slot && n < DROP_AT_ONCE; slot = next) {
		struct extent *e = extent_at(slot);

		next = e->owned.next;
		if (e->task != task)
			continue;
		extent_unbind(e);
		if (e->use == EXTENT_LIVE)
			ret_regions[n++] = (struct mapped){slot, e->generation};
		else
			e->flags |= EXTENT_DOOMED;
	}
	*ret_more = slot != 0;
	slots_unlock();
	return n;
}

static void mapped_task_ended(uint64_t task)
{
	struct mapped regions[DROP_AT_ONCE];
	bool more = task != 0;

	while (more && __atomic_load_n(extent_owned(task), __ATOMIC_ACQUIRE))
		mapped_drop_many(regions, take_owned(task, regions, &more));
}
CELL_PROVIDE(ledger_ops, mapped) = {.task_ended = mapped_task_ended};
