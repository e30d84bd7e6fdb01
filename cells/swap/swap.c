/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

CELL_INFO(.name = "swap", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .unsafe_reason = "takes over the stack that the seed ran on",
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
CELL_EXPORT(swap_restart);
CELL_EXPORT(swap_reclaim);

CELL_PROVIDE(service_ops, swap) = {.step = swap_step};

struct swap_cell_state *swap_cell(void)
{
	return &swap_state;
}

void swap_wake(void)
{
	(void)service_wake(IFACE(service_ops, swap));
}

void swap_reclaim(void)
{
	struct loader_cell cell;

	if (loader_quarantined_at(0, &cell) == 0)
		swap_wake();
}

static int swap_init(const struct cell_boot *boot)
{
	(void)boot;
	return heap_type_create(CELL_SELF, "swap", sizeof(struct swap_transaction), OBJECT_NO_OPS,
				&swap_state.type);
}

CELL_PROVIDE(cell_ops, swap) = {.init = swap_init};

struct swap_transaction *swap_find(uint64_t id)
{
	struct swap_transaction *t = object_get(swap_state.type, swap_state.newest);

	return t && id && t->result.id == id ? t : NULL;
}

/* Makes @h the newest transaction; of the one before only its result is kept, if @keep. */
static void replace_newest(struct handle h, bool keep)
{
	const struct swap_transaction *t;
	struct handle gone;

	spin_lock_as(&swap_state.lock, swap_results);
	gone = swap_state.newest;
	t = object_get(swap_state.type, gone);
	if (t && keep) {
		memmove(swap_state.history + 1, swap_state.history,
			sizeof(swap_state.history) - sizeof(swap_state.history[0]));
		swap_state.history[0] = t->result;
	}
	swap_state.newest = h;
	spin_unlock_as(&swap_state.lock, swap_results);
	if (gone.type)
		(void)object_destroy(swap_state.type, gone);
}

static bool is_running(void)
{
	const struct swap_transaction *t;
	bool running;

	spin_lock_as(&swap_state.lock, swap_results);
	t = object_get(swap_state.type, swap_state.newest);
	running = t && t->result.running;
	spin_unlock_as(&swap_state.lock, swap_results);
	return running;
}

/* ---- staging ---- */

static void list_changes(struct swap_transaction *t)
{
	uint32_t n = 0;

	while (n < SWAP_CHANGES_MAX && loader_stage_change(t->stage, n, &t->changes[n]) == 0)
		n++;
	t->result.n_changes = n;
}

void swap_list_old(const struct loader_stage *stage, struct swap_ranges *ret_ranges)
{
	uint32_t n = 0;

	while (n < LOADER_RANGES_MAX &&
	       loader_stage_old_range(stage, n, &ret_ranges->list[n].start,
				      &ret_ranges->list[n].end) == 0)
		n++;
	ret_ranges->n = n;
}

/* What cannot be shown in full is not done. */
static bool too_many(const struct loader_stage *stage, struct loader_report *ret_report)
{
	struct loader_change change;

	if (loader_stage_change(stage, SWAP_CHANGES_MAX, &change) < 0)
		return false;
	swap_set_reason(ret_report, "too-many-changes", "the bundle changes more than %u cells",
			SWAP_CHANGES_MAX);
	return true;
}

int swap_stage(const void *bundle, size_t size, uint64_t *ret_id, struct loader_report *ret_report)
{
	uint64_t start = clock_now_ns();
	struct loader_stage *stage;
	struct swap_transaction *t;
	struct handle h;
	int r;

	/* the loader is free again a little before the record is complete */
	if (is_running()) {
		memset(ret_report, 0, sizeof(*ret_report));
		(void)strlcpy(ret_report->code, "busy", sizeof(ret_report->code));
		(void)strlcpy(ret_report->reasons[0], "another bundle is being swapped",
			      sizeof(ret_report->reasons[0]));
		ret_report->n_reasons = 1;
		return -EBUSY;
	}
	r = loader_stage_create(bundle, size, &stage, ret_report);
	if (r < 0)
		return r;
	if (too_many(stage, ret_report)) {
		loader_stage_drop(stage);
		return -EPERM;
	}
	replace_newest((struct handle){0}, true);
	r = object_create(swap_state.type, (struct object_owner){.cell = CELL_SELF}, &h);
	t = r < 0 ? NULL : object_get(swap_state.type, h);
	if (!t) {
		loader_stage_drop(stage);
		return -ENOMEM;
	}
	t->stage = stage;
	list_changes(t);
	swap_list_old(stage, &t->old);
	t->result.id = __atomic_add_fetch(&swap_state.last_id, 1, __ATOMIC_RELAXED);
	t->result.state = SWAP_STAGED;
	t->result.generation = loader_generation();
	t->result.started_ns = start;
	t->result.stage_ns = clock_now_ns() - start;
	*ret_id = t->result.id;
	replace_newest(h, false);
	return 0;
}

/* Takes a transaction that waits to be started or dropped, for this caller alone. */
static int claim(uint64_t id, struct swap_transaction **ret)
{
	struct swap_transaction *t;
	int r = 0;

	spin_lock_as(&swap_state.lock, swap_results);
	t = swap_find(id);
	if (!t || !t->stage)
		r = -ENOENT;
	else if (t->result.running)
		r = -EBUSY;
	else
		t->result.running = true;
	spin_unlock_as(&swap_state.lock, swap_results);
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
	replace_newest((struct handle){0}, false);
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

int swap_last(uint32_t index, struct swap_result *ret_result)
{
	const struct swap_transaction *t;
	int r = -ENOENT;

	spin_lock_as(&swap_state.lock, swap_results);
	t = object_get(swap_state.type, swap_state.newest);
	if (t && index-- == 0) {
		*ret_result = t->result;
		r = 0;
	} else if (index < SWAP_HISTORY && swap_state.history[index].id) {
		*ret_result = swap_state.history[index];
		r = 0;
	}
	spin_unlock_as(&swap_state.lock, swap_results);
	return r;
}

int swap_result(uint64_t id, struct swap_result *ret_result)
{
	struct swap_result result;

	for (uint32_t i = 0; swap_last(i, &result) == 0; i++) {
		if (result.id != id)
			continue;
		*ret_result = result;
		return 0;
	}
	return -ENOENT;
}

int swap_report(uint64_t id, struct loader_report *ret_report)
{
	const struct swap_transaction *t;

	spin_lock_as(&swap_state.lock, swap_results);
	t = swap_find(id);
	if (t)
		*ret_report = t->report;
	spin_unlock_as(&swap_state.lock, swap_results);
	return t ? 0 : -ENOENT;
}

int swap_change_at(uint64_t id, uint32_t index, struct loader_change *ret_change)
{
	const struct swap_transaction *t;
	int r = -ENOENT;

	spin_lock_as(&swap_state.lock, swap_results);
	t = swap_find(id);
	if (t && index < t->result.n_changes) {
		*ret_change = t->changes[index];
		r = 0;
	}
	spin_unlock_as(&swap_state.lock, swap_results);
	return r;
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
