/* SPDX-License-Identifier: MIT */
#include <theseus/test-sweep.h>

#include "test.h"

static int make(void *arg)
{
	(void)arg;
	return test_channel(0, CHANNEL_ASYNC, 8);
}

static void unmake(void *arg)
{
	(void)arg;
	test_close(1);
}

static int sweep_create(struct test *test)
{
	static const struct test_sweep sweep = {.run = make, .undo = unmake};

	test_begin();
	return test_sweep(test, &sweep);
}
CELL_PROVIDE(test_ops, channel_sweep_create) = {.run = sweep_create};

static int connect(void *arg)
{
	struct channel_test *s = arg;
	struct object_owner owner = {.cell = CELL_SELF};
	int r = 0;

	/* enough that the table grows */
	for (unsigned i = 1; r == 0 && i < ARRAY_SIZE(s->send); i++)
		r = channel_reconnect(s->send[0], owner, &s->send[i]);
	return r;
}

static void disconnect(void *arg)
{
	struct channel_test *s = arg;

	for (unsigned i = 1; i < ARRAY_SIZE(s->send); i++) {
		if (s->send[i].generation)
			(void)channel_close(s->send[i]);
		s->send[i] = (struct channel_end){.generation = 0};
	}
}

static int connect_or_not(void *arg)
{
	int r = connect(arg);

	if (r < 0)
		disconnect(arg);
	return r;
}

static int sweep_connect(struct test *test)
{
	struct channel_test *s = test_begin();
	struct test_sweep sweep = {.run = connect_or_not, .undo = disconnect, .arg = s};
	int r;

	TEST_CHECK(test, test_channel(0, CHANNEL_ASYNC, 8) == 0);
	/* the table keeps its size */
	TEST_CHECK(test, connect(s) == 0);
	disconnect(s);
	r = test_sweep(test, &sweep);
	test_close(1);
	return r;
}
CELL_PROVIDE(test_ops, channel_sweep_reconnect) = {.run = sweep_connect};

/* A wait needs a record, a select more: without memory it does not begin, and nothing is sent. */
static int wait(void *arg)
{
	struct channel_test *s = arg;
	struct message in, out = message_of(1);
	struct channel_case cases[2] = {{.end = s->receive[0], .message = &in},
					{.end = s->send[1], .message = &out}};
	int r = channel_receive(s->receive[0], &in, clock_after(1000));

	if (r == -ETIMEDOUT)
		r = channel_select(cases, 2, clock_after(1000));
	return r == -ETIMEDOUT ? 0 : r;
}

static void nothing(void *arg)
{
	(void)arg;
}

static int sweep_wait(struct test *test)
{
	struct channel_test *s = test_begin();
	struct test_sweep sweep = {.run = wait, .undo = nothing, .arg = s};
	struct message m;
	int r;

	TEST_CHECK(test, test_channel(0, CHANNEL_RENDEZVOUS, 0) == 0);
	TEST_CHECK(test, test_channel(1, CHANNEL_RENDEZVOUS, 0) == 0);
	(void)heap_fail_nth(1); /* this task's record, which is made once */
	r = channel_receive(s->receive[0], &m, SOON);
	TEST_CHECK(test, heap_fail_nth(0) && r == -ENOMEM);
	r = test_sweep(test, &sweep);
	test_close(2);
	return r;
}
CELL_PROVIDE(test_ops, channel_sweep_wait) = {.run = sweep_wait};
