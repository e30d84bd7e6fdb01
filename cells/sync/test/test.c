/* SPDX-License-Identifier: MIT */
#include "test.h"

CELL_INFO(.name = "sync_test", .version = "1.0.0", .summary = "tests of sync",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_STATE(struct sync_test, state) = {.count = 0};

struct sync_test *sync_test_state(void)
{
	return &state;
}

struct sync_test *sync_test_begin(void)
{
	state = (struct sync_test){.count = 0};
	return &state;
}

int sync_spawn(unsigned i, struct task_ops_h entry)
{
	return task_spawn(NULL, entry, i, &state.tasks[i]);
}

int sync_join(unsigned n, enum task_end end)
{
	struct task_exit exit;
	int wrong = 0;

	for (unsigned i = 0; i < n; i++) {
		if (task_join(state.tasks[i], CLOCK_NEVER, &exit) < 0 || exit.end != end)
			wrong = -1;
	}
	return wrong;
}

static unsigned queued(struct sync_queue *queue)
{
	unsigned n = 0;

	spin_lock(&queue->lock);
	for (const struct sync_waiter *w = queue->first; w; w = w->next)
		n++;
	spin_unlock(&queue->lock);
	return n;
}

void sync_until_queued(struct sync_queue *queue, unsigned n)
{
	while (queued(queue) != n)
		task_yield();
}

void sync_arrive(unsigned i)
{
	uint32_t at = __atomic_fetch_add(&state.arrived, 1, __ATOMIC_RELAXED);

	state.order[at % ACTORS] = i;
	task_event_signal(&state.event);
}

void sync_until_arrived(unsigned n)
{
	uint64_t seen;

	for (;;) {
		seen = task_event_count(&state.event);
		if (__atomic_load_n(&state.arrived, __ATOMIC_RELAXED) >= n ||
		    task_event_wait(&state.event, seen, CLOCK_NEVER) < 0)
			return;
	}
}
