/* SPDX-License-Identifier: MIT */
/*
 * Many senders and receivers at once, with kills and deadlines in between. What a task did is
 * noted where the ledger finds it, too: so each message is known to be sent, not sent, or to be
 * with a sender that ended in its call; and is received once, never, or one of the two.
 */
#include "test.h"

static void tried(struct channel_test *s, uint64_t i, uint32_t id, int result)
{
	spin_lock(&s->lock);
	s->trying[i] = 0;
	if (result == 0)
		s->sent[id]++;
	spin_unlock(&s->lock);
}

static int64_t produce(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message m;
	int r;

	for (;;) {
		uint32_t id = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);

		if (id >= MESSAGES)
			return 0;
		m = message_of(id);
		__atomic_store_n(&s->trying[i], id + 1, __ATOMIC_RELEASE);
		r = channel_send(s->send[0], &m, id % 7 == 0 ? clock_after(20000) : CLOCK_NEVER);
		tried(s, i, id, r);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
}
CELL_PROVIDE(task_ops, channel_produce) = {.run = produce};

static void note(struct channel_test *s, uint64_t i)
{
	spin_lock(&s->lock);
	if (s->inbox[i].id != NOTHING)
		test_note(&s->inbox[i]);
	s->inbox[i].id = NOTHING;
	spin_unlock(&s->lock);
}

static int64_t consume(uint64_t i)
{
	struct channel_test *s = test_state();
	struct channel_case cases[2] = {{.end = s->receive[0], .message = &s->inbox[i]},
					{.end = s->receive[1], .message = &s->other[i]}};
	unsigned n = 0;
	int r;

	for (;;) {
		uint64_t deadline = ++n % 5 == 0 ? clock_after(20000) : CLOCK_NEVER;

		if (i % 2) {
			r = channel_select(cases, 2, deadline);
			if (r >= 0)
				r = cases[r].result;
		} else {
			r = channel_receive(s->receive[0], &s->inbox[i], deadline);
		}
		if (r < 0 && s->inbox[i].id != NOTHING)
			return -EIO; /* it failed, and took a message */
		note(s, i);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
}
CELL_PROVIDE(task_ops, channel_consume) = {.run = consume};

/* Every other one is ended by the ledger if its kill meets it between two kill points. */
static int spawn(struct channel_test *s, unsigned i, bool by_ledger)
{
	const struct task_attr attr = {.name = "storm", .grace_ns = by_ledger ? 1 : 0};

	s->inbox[i].id = NOTHING;
	s->trying[i] = 0;
	return task_spawn(&attr,
			  i < ACTORS / 2 ? IFACE(task_ops, channel_produce)
					 : IFACE(task_ops, channel_consume),
			  i, &s->tasks[i]);
}

/* What task @i, which has ended, left: a message that nobody can tell of, one not noted. */
static int settle(struct channel_test *s, unsigned i, unsigned *by_ledger)
{
	struct task_exit exit;

	if (task_join(s->tasks[i], CLOCK_NEVER, &exit) < 0 || exit.value == -EIO)
		return -1;
	*by_ledger += exit.by_ledger;
	if (s->trying[i])
		s->unknown[s->trying[i] - 1] = 1;
	note(s, i);
	return 0;
}

/* Result: 0 if every message was received as often as it was sent, once at most. */
static int balance(const struct channel_test *s)
{
	for (unsigned i = 0; i < MESSAGES; i++) {
		if (s->sent[i] + s->unknown[i] > 1 || s->seen[i] > s->sent[i] + s->unknown[i] ||
		    s->seen[i] < s->sent[i])
			return -1;
	}
	return s->garbled ? -1 : 0;
}

/* -ESTALE from a producer that came to its end first: the messages are all made. */
static bool kill_one(const struct channel_test *s, unsigned i)
{
	int r = task_kill(s->tasks[i]);

	return r == 0 || (r == -ESTALE && __atomic_load_n(&s->next, __ATOMIC_RELAXED) >= MESSAGES);
}

static int storm(struct test *test, enum channel_kind kind, uint32_t capacity, bool kill)
{
	struct channel_test *s = test_begin();
	struct channel_info info;
	unsigned by_ledger = 0, victim = 0, kills = 0;

	if (kill) /* each kill costs as much as many messages */
		s->next = MESSAGES - 1000;
	TEST_CHECK(test, test_channel(0, kind, capacity) == 0);
	TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0); /* nothing ever comes */
	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test, spawn(s, i, i % 3 == 0) == 0);
	while (kill && __atomic_load_n(&s->next, __ATOMIC_RELAXED) < MESSAGES) {
		victim = (victim + 3) % ACTORS;
		TEST_CHECK(test, kill_one(s, victim));
		TEST_CHECK(test, settle(s, victim, &by_ledger) == 0);
		TEST_CHECK(test, spawn(s, victim, ++kills % 2) == 0);
		task_yield();
	}
	for (unsigned i = 0; i < ACTORS / 2; i++)
		TEST_CHECK(test, settle(s, i, &by_ledger) == 0);
	TEST_CHECK(test, channel_close(s->send[0]) == 0); /* the rest is received, then -EPIPE */
	for (unsigned i = ACTORS / 2; i < ACTORS; i++)
		TEST_CHECK(test, settle(s, i, &by_ledger) == 0);
	TEST_CHECK(test, balance(s) == 0);
	TEST_CHECK(test, kill || by_ledger == 0);
	TEST_CHECK(test, channel_info(s->receive[0], &info) == 0 && info.waiting == 0);
	test_close(2);
	return TEST_PASSED;
}

static int storm_async(struct test *test)
{
	return storm(test, CHANNEL_ASYNC, 8, false);
}
CELL_PROVIDE(test_ops, channel_storm_async) = {.run = storm_async};

static int storm_rendezvous(struct test *test)
{
	return storm(test, CHANNEL_RENDEZVOUS, 0, false);
}
CELL_PROVIDE(test_ops, channel_storm_rendezvous) = {.run = storm_rendezvous};

static int kills_async(struct test *test)
{
	return storm(test, CHANNEL_ASYNC, 3, true);
}
CELL_PROVIDE(test_ops, channel_kills_async) = {.run = kills_async};

static int kills_rendezvous(struct test *test)
{
	return storm(test, CHANNEL_RENDEZVOUS, 0, true);
}
CELL_PROVIDE(test_ops, channel_kills_rendezvous) = {.run = kills_rendezvous};
