/* SPDX-License-Identifier: MIT */
/*
 * Values of each task behind keys. A value lies in the task's TLS block beside the generation
 * of the key it was set with, so reading and writing one takes no lock and no call, and a key
 * that was given back finds none.
 */
#include "internal.h"

CELL_EXPORT(task_local_create);
CELL_EXPORT(task_local_destroy);
CELL_EXPORT(task_local_begin);
CELL_CONSUMES(task_local_ops);

int task_local_create(struct task_local_ops_h drop, struct task_local *ret_key)
{
	struct locals *l = &tasks()->locals;
	unsigned i;

	spin_lock(&l->lock);
	i = (unsigned)__builtin_ctz(~l->used);
	if (i < TASK_LOCALS_MAX) {
		if (++l->generations[i] == 0)
			l->generations[i] = 1;
		l->used |= 1u << i;
		l->drops[i] = drop;
		*ret_key = (struct task_local){i, l->generations[i]};
	}
	spin_unlock(&l->lock);
	return i < TASK_LOCALS_MAX ? 0 : -ENOSPC;
}

/* Under the lock. */
static bool is_live(const struct locals *l, struct task_local key)
{
	return key.index < TASK_LOCALS_MAX && key.generation && l->used >> key.index & 1 &&
	       l->generations[key.index] == key.generation;
}

/* What tasks have under this generation is found by nobody from here on. */
static void forget(struct task_local key)
{
	struct tasks *t = tasks();
	struct task_local_value *value;
	uint64_t expected;

	spin_lock(&t->lock);
	for (uint32_t i = 0; i < t->n_slots; i++) {
		if (!task_in(i))
			continue;
		value = &task_in(i)->tls.locals[key.index];
		expected = key.generation;
		(void)__atomic_compare_exchange_n(&value->key, &expected, 0, false,
						  __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
	spin_unlock(&t->lock);
}

int task_local_destroy(struct task_local key)
{
	struct locals *l = &tasks()->locals;
	bool live;

	spin_lock(&l->lock);
	live = is_live(l, key);
	if (live)
		l->used &= ~(1u << key.index);
	spin_unlock(&l->lock);
	if (!live)
		return -ESTALE;
	forget(key);
	return 0;
}

int task_local_begin(struct task_local key, uint64_t value)
{
	struct locals *l = &tasks()->locals;
	struct task_local_value *mine;
	bool live;

	spin_lock(&l->lock);
	live = is_live(l, key);
	if (live) {
		mine = &current()->tls.locals[key.index];
		mine->value = value;
		__atomic_store_n(&mine->key, key.generation, __ATOMIC_RELAXED);
	}
	spin_unlock(&l->lock);
	return live ? 0 : -ESTALE;
}

struct drop_call {
	const struct task_local_ops *ops;
	uint64_t value;
};

static int64_t call_drop(void *arg)
{
	const struct drop_call *call = arg;

	call->ops->drop(call->value);
	return 0;
}

/* Takes the value away. Result: what to call for it, if anything. */
static struct drop_call take(struct task *task, unsigned i)
{
	struct locals *l = &tasks()->locals;
	struct task_local_value *mine = &task->tls.locals[i];
	struct drop_call call = {.ops = NULL};

	spin_lock(&l->lock);
	if (mine->value && is_live(l, (struct task_local){i, (uint32_t)mine->key})) {
		call.ops = task_local_ops_get(l->drops[i]);
		call.value = mine->value;
	}
	*mine = (struct task_local_value){.key = 0};
	spin_unlock(&l->lock);
	return call;
}

void local_drop_all(struct task *task)
{
	struct drop_call call;
	int64_t fault;

	for (unsigned i = 0; i < TASK_LOCALS_MAX; i++) {
		if (!__atomic_load_n(&task->tls.locals[i].key, __ATOMIC_RELAXED))
			continue;
		call = take(task, i);
		/* the task is at its end: a drop that faults must not keep it from that */
		if (call.ops && switch_protect(call_drop, &call, &fault) < 0)
			upcall_fault_report((uint64_t)fault);
	}
}
