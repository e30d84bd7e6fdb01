/* SPDX-License-Identifier: MIT */
#include "test.h"

static int selects(struct test *test)
{
	struct channel_test *s = test_begin();
	struct message in = {0}, out = message_of(9);
	struct channel_case cases[17];
	unsigned picked[2] = {0, 0};

	for (unsigned i = 0; i < 3; i++)
		TEST_CHECK(test, test_channel(i, i == 2 ? CHANNEL_RENDEZVOUS : CHANNEL_ASYNC,
					      i == 2 ? 0 : 100) == 0);
	cases[0] = (struct channel_case){.end = s->receive[0], .message = &in};
	cases[1] = (struct channel_case){.end = s->receive[1], .message = &in};
	cases[2] = (struct channel_case){.end = s->send[2], .message = &out};
	TEST_CHECK(test, channel_select(cases, 0, 0) == -EINVAL);
	TEST_CHECK(test, channel_select(cases, CHANNEL_CASES_MAX + 1, 0) == -EINVAL);
	TEST_CHECK(test, channel_select(cases, 3, 0) == -ETIMEDOUT);
	TEST_CHECK(test, channel_select(cases, 3, SOON) == -ETIMEDOUT);
	for (unsigned i = 0; i < 100; i++) {
		out = message_of(i);
		TEST_CHECK(test, channel_send(s->send[0], &out, 0) == 0);
		TEST_CHECK(test, channel_send(s->send[1], &out, 0) == 0);
	}
	/* of two that are ready neither starves */
	for (unsigned i = 0; i < 100; i++) {
		int k = channel_select(cases, 3, CLOCK_NEVER);

		TEST_CHECK(test, (k == 0 || k == 1) && cases[k].result == 0);
		TEST_CHECK(test, in.id == picked[k]); /* each in its order */
		picked[k]++;
	}
	TEST_CHECK(test, picked[0] >= 25 && picked[1] >= 25);
	test_close(3);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_selects) = {.run = selects};

static int64_t select_one(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message in = {0}, out = message_of(100 + i);
	struct channel_case cases[4] = {
		{.end = s->receive[0], .message = &in},
		{.end = s->send[1], .message = &out},
		{.end = s->receive[2], .message = &in},
		{.end = s->send[2], .message = &out}, /* never with itself */
	};

	s->results[i] = channel_select(cases, 4, CLOCK_NEVER);
	s->values[i] = in.id;
	if (s->results[i] >= 0 && cases[s->results[i]].result < 0)
		s->results[i] = cases[s->results[i]].result;
	return 0;
}
CELL_PROVIDE(task_ops, channel_select_one) = {.run = select_one};

static int select_waits(struct test *test)
{
	struct channel_test *s = test_begin();
	struct message m = message_of(1);

	for (unsigned round = 0; round < 5; round++) {
		TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 1) == 0);
		TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0);
		TEST_CHECK(test, test_channel(2, CHANNEL_RENDEZVOUS, 0) == 0);
		TEST_CHECK(test, test_spawn(0, IFACE(task_ops, channel_select_one)) == 0);
		test_until_waiting(2, 2);
		test_until_waiting(0, 1);
		if (round == 0)
			TEST_CHECK(test, channel_send(s->send[0], &m, CLOCK_NEVER) == 0);
		else if (round == 1)
			TEST_CHECK(test, channel_receive(s->receive[1], &m, CLOCK_NEVER) == 0 &&
						 m.id == 100);
		else if (round == 2)
			TEST_CHECK(test, channel_send(s->send[2], &m, CLOCK_NEVER) == 0);
		else if (round == 3)
			TEST_CHECK(test, channel_close(s->receive[1]) == 0);
		else
			TEST_CHECK(test, task_kill(s->tasks[0]) == 0);
		TEST_CHECK(test, test_join(1) == 0);
		if (round < 3)
			TEST_CHECK(test, s->results[0] == (int)round &&
						 (round == 1 || s->values[0] == m.id));
		else
			TEST_CHECK(test, s->results[0] == (round == 3 ? -EPIPE : -ECANCELED));
		/* it waits nowhere any more */
		test_until_waiting(0, 0);
		test_until_waiting(1, 0);
		test_until_waiting(2, 0);
		TEST_CHECK(test, channel_send(s->send[2], &m, 0) == -ETIMEDOUT);
		test_close(3);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_select_waits) = {.run = select_waits};

/* Two that select meet, each once. */
static int64_t pair(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message in, out;
	struct channel_case cases[2];
	int k;

	for (unsigned n = 0; n < 500; n++) {
		out = message_of(n);
		cases[0] = (struct channel_case){.end = i ? s->send[0] : s->receive[0],
						 .message = i ? &out : &in};
		cases[1] = (struct channel_case){.end = i ? s->receive[1] : s->send[1],
						 .message = i ? &in : &out};
		k = channel_select(cases, 2, CLOCK_NEVER);
		if (k < 0 || cases[k].result < 0)
			return -1;
		s->values[i * 2 + (unsigned)k]++;
		if (cases[k].message == &in && in.check != message_of(in.id).check)
			s->garbled++;
	}
	return 0;
}
CELL_PROVIDE(task_ops, channel_pair) = {.run = pair};

static int selects_meet(struct test *test)
{
	struct channel_test *s = test_begin();

	TEST_CHECK(test, test_channel(0, CHANNEL_RENDEZVOUS, 0) == 0);
	TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0);
	for (unsigned i = 0; i < 2; i++)
		TEST_CHECK(test, test_spawn(i, IFACE(task_ops, channel_pair)) == 0);
	TEST_CHECK(test, test_join(2) == 0 && s->garbled == 0);
	TEST_CHECK(test, s->values[0] == s->values[2] && s->values[1] == s->values[3]);
	TEST_CHECK(test, s->values[0] + s->values[1] == 500);
	test_close(2);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, channel_selects_meet) = {.run = selects_meet};
