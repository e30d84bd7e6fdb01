/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <theseus/ledger.h>

static struct object **list_of(uint64_t task)
{
	return &heap_owners()->heads[task % TASK_LISTS];
}

static struct spinlock *lock_of(uint64_t task)
{
	return &heap_owners()->locks[task % TASK_LOCKS];
}

void owner_link(struct object *o)
{
	struct object **head = list_of(o->task);

	if (o->task == 0)
		return;
	spin_lock(lock_of(o->task));
	o->prev = NULL;
	o->next = *head;
	if (o->next)
		o->next->prev = o;
	__atomic_store_n(head, o, __ATOMIC_RELEASE);
	spin_unlock(lock_of(o->task));
}

void owner_unlink(struct object *o)
{
	if (o->task == 0)
		return;
	spin_lock(lock_of(o->task));
	if (o->prev)
		o->prev->next = o->next;
	else
		__atomic_store_n(list_of(o->task), o->next, __ATOMIC_RELAXED);
	if (o->next)
		o->next->prev = o->prev;
	spin_unlock(lock_of(o->task));
}

/* Some object of @task. A look at the list alone says that a task has none, which most have not. */
static bool owner_first(uint64_t task, struct handle *ret_handle)
{
	struct object *o;

	if (!__atomic_load_n(list_of(task), __ATOMIC_ACQUIRE))
		return false;
	spin_lock(lock_of(task));
	for (o = *list_of(task); o && o->task != task;)
		o = o->next;
	if (o)
		*ret_handle = (struct handle){o->type, o->slot, o->generation};
	spin_unlock(lock_of(task));
	return o;
}

/* A fault in drop() unwinds through here: the object is freed all the same. */
static void object_drop(struct handle h, uint64_t task)
{
	OWNED(ending_free) struct ending ending = {.object = NULL};
	const struct object_ops *ops;

	if (!object_end(h, task, &ending))
		return;
	ops = object_ops_get(ending.ops);
	if (ops)
		ops->drop(h, ending.object->bytes);
}

static void heap_task_ended(uint64_t task)
{
	struct handle h;

	while (task != 0 && owner_first(task, &h))
		object_drop(h, task);
}
CELL_PROVIDE(ledger_ops, heap) = {.task_ended = heap_task_ended};
