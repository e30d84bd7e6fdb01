/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

CELL_INFO(.name = "swap", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .quiescence = CELL_QUIESCE_ANY, .summary = "replaces cells as a transaction");
CELL_STATE(struct swap_cell_state, swap_state);

CELL_EXPORT(swap_stage);
CELL_EXPORT(swap_drop);
CELL_EXPORT(swap_start);
CELL_EXPORT(swap_result);
CELL_EXPORT(swap_report);
CELL_EXPORT(swap_change_at);
CELL_EXPORT(swap_last);
CELL_EXPORT(swap_result_word);

CELL_PROVIDE(service_ops, swap) = {.step = swap_step};

struct swap_cell_state *swap_cell(void)
{
	return &swap_state;
}

void swap_wake(void)
{
	(void)service_wake(IFACE(service_ops, swap));
}

static int swap_init(const struct cell_boot *boot)
{
	(void)boot;
	return heap_type_create(CELL_SELF, "swap", sizeof(struct swap_transaction), &swap_state.type);
}

CELL_PROVIDE(cell_ops, swap) = {.init = swap_init};

struct swap_transaction *swap_find(uint64_t id)
{
	for (unsigned i = 0; i < SWAP_HISTORY && id; i++) {
		struct swap_transaction *t = object_get(swap_state.type, swap_state.history[i]);

		if (t && t->result.id == id)
			return t;
	}
	return NULL;
}

/* ---- history ---- */

/* Puts a transaction in front; the oldest one that is over makes room. */
static void remember(struct handle h)
{
	struct handle gone;

	spin_lock(&swap_state.lock);
	gone = swap_state.history[SWAP_HISTORY - 1];
	memmove(swap_state.history + 1, swap_state.history,
		sizeof(swap_state.history) - sizeof(swap_state.history[0]));
	swap_state.history[0] = h;
	spin_unlock(&swap_state.lock);
	if (gone.type)
		(void)object_destroy(swap_state.type, gone);
}

static void forget(uint64_t id)
{
	struct handle gone = {0};

	spin_lock(&swap_state.lock);
	for (unsigned i = 0; i < SWAP_HISTORY; i++) {
		const struct swap_transaction *t =
			object_get(swap_state.type, swap_state.history[i]);

		if (!t || t->result.id != id)
			continue;
		gone = swap_state.history[i];
		memmove(swap_state.history + i, swap_state.history + i + 1,
			(SWAP_HISTORY - 1 - i) * sizeof(gone));
		swap_state.history[SWAP_HISTORY - 1] = (struct handle){0};
		break;
	}
	spin_unlock(&swap_state.lock);
	if (gone.type)
		(void)object_destroy(swap_state.type, gone);
}

/* ---- staging ---- */

static void list_changes(struct swap_transaction *t)
{
	uint32_t n = 0;

	while (n < SWAP_CHANGES_MAX && loader_stage_change(t->stage, n, &t->changes[n]) == 0)
		n++;
	t->result.n_changes = n;
}

static void list_ranges(struct swap_transaction *t)
{
	char cell[CELL_NAME_MAX];
	uint32_t n = 0;

	while (n < ARRAY_SIZE(t->ranges) &&
	       loader_stage_old_range(t->stage, n, &t->ranges[n].start, &t->ranges[n].end, cell) == 0)
		n++;
	t->n_ranges = n;
}

int swap_stage(const void *bundle, size_t size, uint64_t *ret_id, struct loader_report *ret_report)
{
	uint64_t start = clock_now_ns();
	struct loader_stage *stage;
	struct swap_transaction *t;
	struct handle h;
	int r;

	r = loader_stage_create(bundle, size, &stage, ret_report);
	if (r < 0)
		return r;
	r = object_create(swap_state.type, (struct object_owner){.cell = CELL_SELF}, &h);
	t = r < 0 ? NULL : object_get(swap_state.type, h);
	if (!t) {
		loader_stage_drop(stage);
		return -ENOMEM;
	}
	t->stage = stage;
	list_changes(t);
	list_ranges(t);
	t->result.id = __atomic_add_fetch(&swap_state.last_id, 1, __ATOMIC_RELAXED);
	t->result.state = SWAP_STAGED;
	t->result.generation = loader_generation();
	t->result.started_ns = start;
	t->result.stage_ns = clock_now_ns() - start;
	*ret_id = t->result.id;
	remember(h);
	return 0;
}

/* Takes a transaction that waits to be started or dropped, for this caller alone. */
static int claim(uint64_t id, struct swap_transaction **ret)
{
	struct swap_transaction *t;
	int r = 0;

	spin_lock(&swap_state.lock);
	t = swap_find(id);
	if (!t || !t->stage)
		r = -ENOENT;
	else if (t->result.running)
		r = -EBUSY;
	else
		t->result.running = true;
	spin_unlock(&swap_state.lock);
	*ret = t;
	return r;
}

int swap_drop(uint64_t id)
{
	struct swap_transaction *t;
	int r = claim(id, &t);

	if (r < 0)
		return r;
	loader_stage_drop(TAKE(t->stage));
	forget(id);
	return 0;
}

int swap_start(uint64_t id, const struct swap_options *options, struct swap_watch_ops_h watcher)
{
	struct swap_transaction *t;
	int r = claim(id, &t);

	if (r < 0)
		return r;
	t->options = *options;
	t->watcher = watcher;
	t->run_ns = clock_now_ns();
	t->deadline_ns = clock_after(options->timeout_ns ? options->timeout_ns : SWAP_TIMEOUT_NS);
	__atomic_store_n(&swap_state.active, id, __ATOMIC_RELEASE);
	swap_wake();
	return 0;
}

/* ---- looking ---- */

int swap_result(uint64_t id, struct swap_result *ret_result)
{
	const struct swap_transaction *t;

	spin_lock(&swap_state.lock);
	t = swap_find(id);
	if (t)
		*ret_result = t->result;
	spin_unlock(&swap_state.lock);
	return t ? 0 : -ENOENT;
}

int swap_report(uint64_t id, struct loader_report *ret_report)
{
	const struct swap_transaction *t;

	spin_lock(&swap_state.lock);
	t = swap_find(id);
	if (t)
		*ret_report = t->report;
	spin_unlock(&swap_state.lock);
	return t ? 0 : -ENOENT;
}

int swap_change_at(uint64_t id, uint32_t index, struct loader_change *ret_change)
{
	const struct swap_transaction *t;
	int r = -ENOENT;

	spin_lock(&swap_state.lock);
	t = swap_find(id);
	if (t && index < t->result.n_changes) {
		*ret_change = t->changes[index];
		r = 0;
	}
	spin_unlock(&swap_state.lock);
	return r;
}

int swap_last(uint32_t index, struct swap_result *ret_result)
{
	const struct swap_transaction *t = NULL;

	spin_lock(&swap_state.lock);
	if (index < SWAP_HISTORY)
		t = object_get(swap_state.type, swap_state.history[index]);
	if (t)
		*ret_result = t->result;
	spin_unlock(&swap_state.lock);
	return t ? 0 : -ENOENT;
}

const char *swap_result_word(const struct swap_result *result)
{
	if (result->running)
		return "running";
	switch (result->state) {
	case SWAP_FINALISED:
		return "committed";
	case SWAP_REFUSED:
		return "refused";
	case SWAP_CANCELLED:
		return "cancelled";
	default:
		return "staged";
	}
}
