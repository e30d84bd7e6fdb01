/* SPDX-License-Identifier: MIT */
#include "test.h"

CELL_INFO(.name = "unwind_test", .version = "1.0.0",
	  .summary = "tests of the ends of tasks: cleanups, locks, joiners, backtraces",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "faults on purpose, and hands addresses to tasks as numbers");

CELL_STATE(struct unwind_test, state) = {.on = 0};

struct unwind_test *unwind_test_state(void)
{
	return &state;
}

struct unwind_test *unwind_test_begin(void)
{
	state = (struct unwind_test){.on = 1};
	return &state;
}

void unwind_test_reach(uint32_t what)
{
	__atomic_store_n(&state.reached, what, __ATOMIC_RELEASE);
	task_event_signal(&state.event);
}

int unwind_test_await(uint32_t what)
{
	uint64_t deadline = UNWIND_TEST_LIMIT;
	int r = 0;

	while (r == 0) {
		uint64_t seen = task_event_count(&state.event);

		if (__atomic_load_n(&state.reached, __ATOMIC_ACQUIRE) >= what)
			return 0;
		r = task_event_wait(&state.event, seen, deadline);
	}
	return r;
}

static void drop_level(const unsigned *level)
{
	__atomic_add_fetch(&state.drops[*level], 1, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) int64_t descend(unsigned level, int64_t (*leaf)(void))
{
	unsigned mine OWNED(drop_level) = level;
	int64_t r = level + 1 < LEVELS ? descend(level + 1, leaf) : leaf();

	__asm__ volatile("" : "+r"(r)); /* a frame of its own for each */
	return r;
}

int64_t unwind_test_descend(int64_t (*leaf)(void))
{
	int64_t r = descend(0, leaf);

	state.after++;
	return r;
}

int unwind_test_join(struct task_ref task, struct task_exit *ret_exit)
{
	return task_join(task, UNWIND_TEST_LIMIT, ret_exit);
}

int unwind_test_run(struct task_ops_h entry, struct task_exit *ret_exit)
{
	struct task_ref task;
	int r = task_spawn(NULL, entry, 0, &task);

	return r < 0 ? r : unwind_test_join(task, ret_exit);
}

bool unwind_test_dropped(uint32_t times)
{
	for (unsigned i = 0; i < LEVELS; i++) {
		if (__atomic_load_n(&state.drops[i], __ATOMIC_RELAXED) != times)
			return false;
	}
	return state.after == 0;
}
