/* SPDX-License-Identifier: MIT */
/*
 * A receiver or a sender is ended at all moments around one exchange: by the ledger, since its
 * grace is over at once, or at a kill point. Whichever it was, the message is in one place.
 */
#include "test.h"

#define ROUNDS 150u
#define STEP 90u     /* turns of a wait, more from round to round */
#define OVER_TURNS 40u /* ... and from the start again */

enum {
	BY_SELECT = 1, /* in a task's argument */
};

static void note(struct channel_test *s)
{
	spin_lock(&s->lock); /* nothing ends it between the two */
	test_note(&s->inbox[0]);
	s->inbox[0].id = NOTHING;
	spin_unlock(&s->lock);
}

static int64_t receive_on(uint64_t how)
{
	struct channel_test *s = test_state();
	struct channel_case cases[2] = {{.end = s->receive[1], .message = &s->other[0]},
					{.end = s->receive[0], .message = &s->inbox[0]}};
	int r = 0;

	while (r == 0 || r == -ECANCELED) { /* told, it goes on: the next kill point is its end */
		if (how & BY_SELECT)
			r = channel_select(cases, 2, CLOCK_NEVER) < 0 ? -ECANCELED : 0;
		else
			r = channel_receive(s->receive[0], &s->inbox[0], CLOCK_NEVER);
		if (r == 0)
			note(s);
	}
	return r;
}
CELL_PROVIDE(task_ops, channel_receive_on) = {.run = receive_on};

static int64_t send_on(uint64_t how)
{
	struct channel_test *s = test_state();
	struct message m;
	struct channel_case cases[2] = {{.end = s->send[1], .message = &s->other[0]},
					{.end = s->send[0], .message = &m}};
	int r = 0;

	while (r == 0 || r == -ECANCELED) {
		m = message_of(s->next);
		if (how & BY_SELECT)
			r = channel_select(cases, 2, CLOCK_NEVER) < 0 ? -ECANCELED : 0;
		else
			r = channel_send(s->send[0], &m, CLOCK_NEVER);
		if (r == 0)
			s->next++;
	}
	return r;
}
CELL_PROVIDE(task_ops, channel_send_on) = {.run = send_on};

static int spawn(struct channel_test *s, struct task_ops_h entry, uint64_t how)
{
	const struct task_attr attr = {.name = "ended at an exchange", .grace_ns = 1};

	s->inbox[0].id = NOTHING;
	return task_spawn(&attr, entry, how, &s->tasks[0]);
}

/* Some moment after the exchange: the task is on its way out of the call, or in the next one. */
static int end_it(struct test *test, struct channel_test *s, unsigned round)
{
	struct task_exit exit;

	for (volatile unsigned i = 0; i < round % OVER_TURNS * STEP; i++)
		;
	TEST_CHECK(test, task_kill(s->tasks[0]) == 0);
	TEST_CHECK(test, task_join(s->tasks[0], CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_KILLED);
	return TEST_PASSED;
}

static bool waits(const struct channel_test *s)
{
	struct channel_info info;

	return channel_info(s->send[0], &info) == 0 && info.waiting;
}

static int receiver_round(struct test *test, struct channel_test *s, unsigned round, uint64_t how)
{
	struct message m = message_of(round), back;
	int r;

	TEST_CHECK(test, spawn(s, IFACE(task_ops, channel_receive_on), how) == 0);
	test_until_waiting(0, 1);
	TEST_CHECK(test, channel_send(s->send[0], &m, CLOCK_NEVER) == 0);
	TEST_CHECK(test, end_it(test, s, round) == TEST_PASSED);
	if (s->inbox[0].id != NOTHING) /* it had it, and was ended before it noted that */
		note(s);
	r = channel_receive(s->receive[0], &back, 0);
	TEST_CHECK(test, r == 0 || r == -ETIMEDOUT);
	if (r == 0)
		test_note(&back);
	TEST_CHECK(test, s->seen[round] == 1 && s->garbled == 0 && !waits(s));
	return TEST_PASSED;
}

/* The sender waits with its next message again, or its end has withdrawn that. */
static int sender_round(struct test *test, struct channel_test *s, unsigned round, uint64_t how)
{
	struct message m = {.id = NOTHING};
	uint32_t first = s->next;

	TEST_CHECK(test, spawn(s, IFACE(task_ops, channel_send_on), how) == 0);
	TEST_CHECK(test, channel_receive(s->receive[0], &m, CLOCK_NEVER) == 0);
	TEST_CHECK(test, m.id == first);
	test_note(&m);
	TEST_CHECK(test, end_it(test, s, round) == TEST_PASSED);
	TEST_CHECK(test, s->next == first || s->next == first + 1); /* it may not have been told */
	s->next = first + 1;
	TEST_CHECK(test, channel_receive(s->receive[0], &m, 0) == -ETIMEDOUT && !waits(s));
	TEST_CHECK(test, s->seen[first] == 1 && s->garbled == 0);
	return TEST_PASSED;
}

static int ended(struct test *test, enum channel_kind kind, bool receiver)
{
	struct channel_test *s = test_begin();
	int r = TEST_PASSED;

	TEST_CHECK(test, test_channel(0, kind, kind == CHANNEL_ASYNC ? 2 : 0) == 0);
	TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0); /* nothing ever comes */
	for (unsigned i = 0; i < ROUNDS && r == TEST_PASSED; i++)
		r = receiver ? receiver_round(test, s, i, i % 2) : sender_round(test, s, i, i % 2);
	test_close(2);
	return r;
}

static int receiver_ended(struct test *test)
{
	return ended(test, CHANNEL_RENDEZVOUS, true);
}
CELL_PROVIDE(test_ops, channel_receiver_ended) = {.run = receiver_ended};

static int receiver_ended_async(struct test *test)
{
	return ended(test, CHANNEL_ASYNC, true);
}
CELL_PROVIDE(test_ops, channel_receiver_ended_async) = {.run = receiver_ended_async};

static int sender_ended(struct test *test)
{
	return ended(test, CHANNEL_RENDEZVOUS, false);
}
CELL_PROVIDE(test_ops, channel_sender_ended) = {.run = sender_ended};
