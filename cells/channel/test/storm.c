/* SPDX-License-Identifier: MIT */
/*
 * Many senders and receivers at once, with kills and deadlines in between: each message is
 * received as often as its send succeeded, once or not at all.
 */
#include "test.h"

static int64_t produce(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message m;
	int r;

	(void)i;
	for (;;) {
		uint32_t id = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);

		if (id >= MESSAGES)
			return 0;
		m = message_of(id);
		r = channel_send(s->send[0], &m, id % 7 == 0 ? clock_after(20000) : CLOCK_NEVER);
		if (r == 0)
			__atomic_fetch_add(&s->sent[id], 1, __ATOMIC_RELAXED);
		else if (r != -ETIMEDOUT)
			return r;
	}
}
CELL_PROVIDE(task_ops, channel_produce) = {.run = produce};

static int64_t consume(uint64_t i)
{
	struct channel_test *s = test_state();
	struct message m, other;
	struct channel_case cases[2] = {{.end = s->receive[0], .message = &m},
					{.end = s->receive[1], .message = &other}};
	unsigned n = 0;
	int r;

	for (;;) {
		uint64_t deadline = ++n % 5 == 0 ? clock_after(20000) : CLOCK_NEVER;

		if (i % 2) {
			r = channel_select(cases, 2, deadline);
			if (r >= 0)
				r = cases[r].result;
		} else {
			r = channel_receive(s->receive[0], &m, deadline);
		}
		if (r == 0)
			test_note(&m);
		else if (r != -ETIMEDOUT)
			return r;
	}
}
CELL_PROVIDE(task_ops, channel_consume) = {.run = consume};

static int respawn(struct channel_test *s, unsigned i, unsigned *killed, unsigned *by_ledger)
{
	struct task_exit exit;

	if (task_join(s->tasks[i], CLOCK_NEVER, &exit) < 0)
		return -1;
	*killed += exit.end == TASK_KILLED;
	*by_ledger += exit.by_ledger;
	return test_spawn(i, i < ACTORS / 2 ? IFACE(task_ops, channel_produce)
					    : IFACE(task_ops, channel_consume));
}

static int storm(struct test *test, enum channel_kind kind, uint32_t capacity, bool kill)
{
	struct channel_test *s = test_begin();
	struct channel_info info;
	struct task_exit exit;
	unsigned lost = 0, extra = 0, doubled = 0, killed = 0, by_ledger = 0, victim = 0;

	if (kill) /* each kill costs as much as many messages */
		s->next = MESSAGES - 1000;
	TEST_CHECK(test, test_channel(0, kind, capacity) == 0);
	TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0); /* nothing ever comes */
	for (unsigned i = 0; i < ACTORS; i++)
		TEST_CHECK(test,
			   test_spawn(i, i < ACTORS / 2 ? IFACE(task_ops, channel_produce)
							: IFACE(task_ops, channel_consume)) == 0);
	while (kill && __atomic_load_n(&s->next, __ATOMIC_RELAXED) < MESSAGES) {
		victim = (victim + 3) % ACTORS;
		TEST_CHECK(test, task_kill(s->tasks[victim]) == 0);
		TEST_CHECK(test, respawn(s, victim, &killed, &by_ledger) == 0);
		task_yield();
	}
	for (unsigned i = 0; i < ACTORS / 2; i++)
		TEST_CHECK(test, task_join(s->tasks[i], CLOCK_NEVER, &exit) == 0);
	TEST_CHECK(test, channel_close(s->send[0]) == 0); /* the rest is received, then -EPIPE */
	for (unsigned i = ACTORS / 2; i < ACTORS; i++)
		TEST_CHECK(test, task_join(s->tasks[i], CLOCK_NEVER, &exit) == 0);
	for (unsigned i = 0; i < MESSAGES; i++) {
		lost += s->seen[i] < s->sent[i];
		extra += s->seen[i] > s->sent[i];
		doubled += s->seen[i] > 1;
	}
	TEST_CHECK(test, s->garbled == 0 && doubled == 0);
	/* who ended inside of a send cannot say any more that it succeeded */
	TEST_CHECK(test, extra <= killed);
	/* and who was ended by the ledger may just have received one */
	TEST_CHECK(test, lost <= by_ledger);
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
