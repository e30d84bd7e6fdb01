/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "test.h"

CELL_INFO(.name = "channel_test", .version = "1.0.0", .summary = "tests of channel",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "sends from and receives to an address that is not mapped",
	  .quiescence = CELL_QUIESCE_ANY);

CELL_STATE(struct channel_test, state) = {.next = 0};

struct channel_test *test_state(void)
{
	return &state;
}

struct channel_test *test_begin(void)
{
	memset(&state, 0, sizeof(state));
	return &state;
}

int test_channel(unsigned i, enum channel_kind kind, uint32_t capacity)
{
	struct channel_attr attr = {.kind = kind,
				    .bytes = sizeof(struct message),
				    .capacity = capacity,
				    .owner = {.cell = CELL_SELF}};

	return channel_create(&attr, &state.send[i], &state.receive[i]);
}

void test_close(unsigned channels)
{
	for (unsigned i = 0; i < channels; i++) {
		(void)channel_close(state.send[i]);
		(void)channel_close(state.receive[i]);
	}
}

int test_spawn(unsigned i, struct task_ops_h entry)
{
	return task_spawn(NULL, entry, i, &state.tasks[i]);
}

int test_join(unsigned n)
{
	struct task_exit exit;
	int wrong = 0;

	for (unsigned i = 0; i < n; i++) {
		if (task_join(state.tasks[i], CLOCK_NEVER, &exit) < 0 || exit.end != TASK_COMPLETED)
			wrong = -1;
	}
	return wrong;
}

void test_until_waiting(unsigned i, unsigned n)
{
	struct channel_info info;

	while (channel_info(state.send[i], &info) == 0 && info.waiting != n)
		task_yield();
}

void test_note(const struct message *message)
{
	struct message right = message_of(message->id);

	if (message->id >= MESSAGES || message->check != right.check)
		__atomic_fetch_add(&state.garbled, 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&state.seen[message->id], 1, __ATOMIC_RELAXED);
}
