/* SPDX-License-Identifier: MIT */
#include "test.h"

static int refuses_attr(struct test *test)
{
	struct channel_attr good = {
		.kind = CHANNEL_ASYNC, .bytes = 8, .capacity = 2, .owner = {.cell = CELL_SELF}};
	struct channel_attr bad[6] = {good, good, good, good, good, good};
	struct channel_end s, r;

	bad[0].kind = (enum channel_kind)0;
	bad[1].bytes = 0;
	bad[2].bytes = CHANNEL_MESSAGE_MAX + 1;
	bad[3].capacity = 0;
	bad[4].capacity = CHANNEL_CAPACITY_MAX + 1;
	bad[5].kind = CHANNEL_RENDEZVOUS; /* which has no queue */
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		TEST_CHECK(test, channel_create(&bad[i], &s, &r) == -EINVAL);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_refuses_attr) = {.run = refuses_attr};

static int queues_in_order(struct test *test)
{
	struct channel_test *s = test_begin();
	struct message m;

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 3) == 0);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 3; i++) {
			m = message_of(i);
			TEST_CHECK(test, channel_send(s->send[0], &m, 0) == 0);
		}
		TEST_CHECK(test, channel_send(s->send[0], &m, 0) == -ETIMEDOUT);
		TEST_CHECK(test, channel_send(s->send[0], &m, SOON) == -ETIMEDOUT);
		for (unsigned i = 0; i < 3; i++) {
			TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == 0);
			TEST_CHECK(test, m.id == i && m.check == message_of(i).check);
		}
		TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == -ETIMEDOUT);
		TEST_CHECK(test, channel_receive(s->receive[0], &m, SOON) == -ETIMEDOUT);
	}
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_queues_in_order) = {.run = queues_in_order};

/* Queued messages come before -EPIPE, and a new end carries on where the old one left. */
static int disconnects(struct test *test)
{
	struct channel_test *s = test_begin();
	struct object_owner owner = {.cell = CELL_SELF};
	struct channel_info info;
	struct message m = message_of(7);
	struct channel_end again;

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 3) == 0);
	TEST_CHECK(test, channel_send(s->receive[0], &m, 0) == -EINVAL);
	TEST_CHECK(test, channel_receive(s->send[0], &m, 0) == -EINVAL);
	TEST_CHECK(test, channel_send(s->send[0], &m, 0) == 0);
	TEST_CHECK(test, channel_close(s->send[0]) == 0);
	TEST_CHECK(test, channel_close(s->send[0]) == -ESTALE);
	TEST_CHECK(test, channel_send(s->send[0], &m, 0) == -ESTALE);
	m.id = 0;
	TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == 0 && m.id == 7);
	TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == -EPIPE);
	TEST_CHECK(test, channel_reconnect(s->send[0], owner, &again) == 0);
	TEST_CHECK(test, channel_send(again, &m, CLOCK_NEVER) == 0);
	TEST_CHECK(test, channel_close(s->receive[0]) == 0);
	TEST_CHECK(test, channel_send(again, &m, CLOCK_NEVER) == -EPIPE);
	TEST_CHECK(test, channel_reconnect(s->receive[0], owner, &s->receive[0]) == 0);
	TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == 0);
	TEST_CHECK(test, channel_info(again, &info) == 0);
	TEST_CHECK(test, info.senders == 1 && info.receivers == 1 && info.queued == 0);
	TEST_CHECK(test, channel_close(again) == 0 && channel_close(s->receive[0]) == 0);
	TEST_CHECK(test, channel_info(again, &info) == -ESTALE);
	TEST_CHECK(test, channel_reconnect(again, owner, &again) == -ESTALE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_disconnects) = {.run = disconnects};

static int64_t receive_one(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message m = {0};

	s->results[i] = channel_receive(s->receive[0], &m, CLOCK_NEVER);
	s->values[i] = m.id;
	return 0;
}
CELL_PROVIDE(task_ops, channel_receive_one) = {.run = receive_one};

static int64_t send_one(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message m = message_of(i);

	s->results[i] = channel_send(s->send[0], &m, CLOCK_NEVER);
	return 0;
}
CELL_PROVIDE(task_ops, channel_send_one) = {.run = send_one};

static int meets(struct test *test)
{
	struct channel_test *s = test_begin();
	struct message m = message_of(5);

	TEST_CHECK(test, test_channel(0, CHANNEL_RENDEZVOUS, 0) == 0);
	TEST_CHECK(test, channel_send(s->send[0], &m, 0) == -ETIMEDOUT);
	TEST_CHECK(test, channel_send(s->send[0], &m, SOON) == -ETIMEDOUT);
	TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == -ETIMEDOUT);
	/* in the order they came, at either side */
	for (unsigned i = 0; i < 3; i++) {
		TEST_CHECK(test, test_spawn(i, IFACE(task_ops, channel_receive_one)) == 0);
		test_until_waiting(0, i + 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		m = message_of(10 + i);
		TEST_CHECK(test, channel_send(s->send[0], &m, 0) == 0);
	}
	TEST_CHECK(test, test_join(3) == 0);
	for (unsigned i = 0; i < 3; i++)
		TEST_CHECK(test, s->results[i] == 0 && s->values[i] == 10 + i);
	for (unsigned i = 0; i < 3; i++) {
		TEST_CHECK(test, test_spawn(i, IFACE(task_ops, channel_send_one)) == 0);
		test_until_waiting(0, i + 1);
	}
	for (unsigned i = 0; i < 3; i++)
		TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == 0 && m.id == i);
	TEST_CHECK(test, test_join(3) == 0);
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_meets) = {.run = meets};

/* Who waits hears of it: on the other side, and at the end that was closed itself. */
static int wakes_on_disconnect(struct test *test)
{
	struct channel_test *s = test_begin();

	for (unsigned round = 0; round < 2; round++) {
		TEST_CHECK(test, test_channel(0, CHANNEL_RENDEZVOUS, 0) == 0);
		TEST_CHECK(test, test_spawn(0, round ? IFACE(task_ops, channel_receive_one)
						     : IFACE(task_ops, channel_send_one)) == 0);
		TEST_CHECK(test, test_spawn(1, round ? IFACE(task_ops, channel_receive_one)
						     : IFACE(task_ops, channel_send_one)) == 0);
		test_until_waiting(0, 2);
		TEST_CHECK(test, channel_close(round ? s->send[0] : s->receive[0]) == 0);
		TEST_CHECK(test, test_join(2) == 0);
		TEST_CHECK(test, s->results[0] == -EPIPE && s->results[1] == -EPIPE);
		test_close(1);
	}
	TEST_CHECK(test, test_channel(0, CHANNEL_RENDEZVOUS, 0) == 0);
	TEST_CHECK(test, test_spawn(0, IFACE(task_ops, channel_receive_one)) == 0);
	test_until_waiting(0, 1);
	TEST_CHECK(test, channel_close(s->receive[0]) == 0);
	TEST_CHECK(test, test_join(1) == 0 && s->results[0] == -ESTALE);
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_wakes_on_disconnect) = {.run = wakes_on_disconnect};

static int64_t own_end(uint64_t fault)
{
	struct channel_test *s = test_state();
	struct object_owner owner = {.cell = CELL_SELF, .task = task_id(task_self())};
	struct message m = message_of(1);

	if (channel_give(s->send[0], owner) < 0 || channel_send(s->send[0], &m, CLOCK_NEVER) < 0)
		return -1;
	if (fault)
		TRAP("a task faults that owns an end");
	return 0;
}
CELL_PROVIDE(task_ops, channel_own_end) = {.run = own_end};

static int ends_with_its_task(struct test *test)
{
	struct object_owner owner = {.cell = CELL_SELF};
	struct channel_test *s = test_begin();
	struct task_exit exit;
	struct message m;

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 4) == 0);
	for (unsigned i = 0; i < 2; i++) {
		TEST_CHECK(test, test_spawn(i, IFACE(task_ops, channel_own_end)) == 0);
		TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == 0);
		TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == -EPIPE);
		TEST_CHECK(test, task_join(s->tasks[i], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == (i ? TASK_FAULTED : TASK_COMPLETED));
		TEST_CHECK(test, channel_reconnect(s->send[0], owner, &s->send[0]) == 0);
	}
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_ends_with_its_task) = {.run = ends_with_its_task};

/* A message that cannot be read or written faults, and the channel is as before. */
static int64_t bad_pointer(uint64_t i)
{
	struct channel_test *s = test_state();
	void *nowhere = (void *)(uintptr_t)0x1000;

	if (i % 2)
		return channel_receive(s->receive[0], nowhere, CLOCK_NEVER);
	return channel_send(s->send[0], nowhere, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, channel_bad_pointer) = {.run = bad_pointer};

static int survives_bad_pointers(struct test *test)
{
	struct channel_test *s = test_begin();
	struct message m = message_of(3);
	struct task_exit exit;

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 4) == 0);
	TEST_CHECK(test, channel_send(s->send[0], &m, 0) == 0);
	for (unsigned i = 0; i < 2; i++) {
		TEST_CHECK(test, test_spawn(i, IFACE(task_ops, channel_bad_pointer)) == 0);
		TEST_CHECK(test, task_join(s->tasks[i], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED);
	}
	TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == 0 && m.id == 3);
	TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == -ETIMEDOUT);
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_survives_bad_pointers) = {.run = survives_bad_pointers};

/* What is given to a receiver that waits, and that has no memory for it, goes to the next one. */
static int comes_back_from_bad_pointer(struct test *test)
{
	static const enum channel_kind kinds[] = {CHANNEL_RENDEZVOUS, CHANNEL_ASYNC};
	struct channel_test *s = test_begin();
	struct message m = message_of(3), back = {0};
	struct task_exit exit;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		TEST_CHECK(test, test_channel(0, kinds[i], i) == 0);
		TEST_CHECK(test, test_spawn(1, IFACE(task_ops, channel_bad_pointer)) == 0);
		test_until_waiting(0, 1);
		TEST_CHECK(test, channel_send(s->send[0], &m, CLOCK_NEVER) == 0);
		TEST_CHECK(test, task_join(s->tasks[1], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED);
		TEST_CHECK(test, channel_receive(s->receive[0], &back, 0) == 0 && back.id == 3);
		TEST_CHECK(test, channel_receive(s->receive[0], &back, 0) == -ETIMEDOUT);
		test_close(1);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_returns_from_bad_one) = {.run = comes_back_from_bad_pointer};

static int connects_many_ends(struct test *test)
{
	struct channel_test *s = test_begin();
	struct object_owner owner = {.cell = CELL_SELF};
	struct channel_end ends[100];
	struct channel_info info;
	struct message m = message_of(1);

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 1) == 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
			TEST_CHECK(test, channel_reconnect(s->send[0], owner, &ends[i]) == 0);
		TEST_CHECK(test, channel_info(s->send[0], &info) == 0 && info.senders == 101);
		for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
			TEST_CHECK(test, channel_send(ends[i], &m, 0) == 0);
			TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == 0);
			TEST_CHECK(test, channel_close(ends[i]) == 0);
			TEST_CHECK(test, channel_send(ends[i], &m, 0) == -ESTALE);
		}
	}
	test_close(1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_connects_many_ends) = {.run = connects_many_ends};
