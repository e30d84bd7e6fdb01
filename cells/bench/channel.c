/* SPDX-License-Identifier: MIT */
/*
 * Round trips: one word there and one back, between two tasks on one CPU (param 0) or on two
 * (param 1), over two channels, or by the events alone that channels are made of.
 */
#include <theseus/channel.h>
#include <theseus/heap.h>

#include "internal.h"

#define TRIPS 16u    /* a sample */
#define CAPACITY 16u /* of an async channel */
#define BATCH 64u    /* answers, before the peer lets its code be changed */

static int connect(struct bench_link *l, enum channel_kind kind)
{
	struct channel_attr attr = {.kind = kind,
				    .bytes = sizeof(uint64_t),
				    .capacity = kind == CHANNEL_ASYNC ? CAPACITY : 0,
				    .owner = {.cell = CELL_SELF}};
	int r = channel_create(&attr, &l->ask, &l->asked);

	return r < 0 ? r : channel_create(&attr, &l->answer, &l->answered);
}

/* Who waits at the other side gets -EPIPE. */
static void disconnect(struct bench_link *l)
{
	channel_drop(&l->ask);
	channel_drop(&l->asked);
	channel_drop(&l->answer);
	channel_drop(&l->answered);
	*l = (struct bench_link){0};
}

static int64_t peer(uint64_t arg)
{
	const struct bench_link *l = &bench_state()->link;
	uint64_t word;

	(void)arg;
	for (unsigned i = 0; i < BATCH; i++)
		if (channel_receive(l->asked, &word, CLOCK_NEVER) < 0 ||
		    channel_send(l->answer, &word, CLOCK_NEVER) < 0)
			return 0;
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, bench_peer) = {.run = peer};

static int64_t trip_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;
	const struct bench_link *l = &bench_state()->link;
	uint64_t word = 1;
	int r = 0;

	b->ops = TRIPS;
	while (r == 0 && bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; r == 0 && i < TRIPS; i++) {
			r = channel_send(l->ask, &word, CLOCK_NEVER);
			if (r == 0)
				r = channel_receive(l->answered, &word, CLOCK_NEVER);
		}
		bench_stop(b, start);
	}
	return r;
}
CELL_PROVIDE(task_ops, bench_trip) = {.run = trip_task};

/* The CPU of the peer. */
static int peer_cpu(const struct bench *b)
{
	if (b->param > 1)
		return -EINVAL;
	return b->param ? bench_other_cpu() : (int)bench_cpu();
}

static int measure(struct bench *b, enum channel_kind kind)
{
	struct bench_link *l = &bench_state()->link;
	int cpu = peer_cpu(b), r = cpu < 0 ? cpu : connect(l, kind);

	if (r == 0)
		r = bench_crowd(1, (unsigned)cpu, IFACE(task_ops, bench_peer), 0);
	if (r == 0)
		r = bench_on(bench_cpu(), IFACE(task_ops, bench_trip), b);
	disconnect(l);
	bench_dismiss_crowd();
	return r;
}

static int rendezvous(struct bench *b)
{
	return measure(b, CHANNEL_RENDEZVOUS);
}
CELL_PROVIDE(bench_ops, rendezvous) = {.run = rendezvous, .n_params = 2, .params = {0, 1}};

static int async(struct bench *b)
{
	return measure(b, CHANNEL_ASYNC);
}
CELL_PROVIDE(bench_ops, async) = {.run = async, .n_params = 2, .params = {0, 1}};

/* ---- a turn that two tasks hand to each other ---- */

static int await_turn(uint32_t side)
{
	struct bench_turn *t = &bench_state()->turn;
	int r = 0;

	while (r == 0) {
		uint64_t seen = task_event_count(&t->handed[side]);

		if (__atomic_load_n(&t->whose, __ATOMIC_ACQUIRE) == side)
			break;
		r = task_event_wait(&t->handed[side], seen, CLOCK_NEVER);
	}
	return r;
}

static void hand_turn(uint32_t side)
{
	struct bench_turn *t = &bench_state()->turn;

	__atomic_store_n(&t->whose, side, __ATOMIC_RELEASE);
	task_event_signal(&t->handed[side]);
}

static int64_t turn_peer(uint64_t arg)
{
	(void)arg;
	for (unsigned i = 0; i < BATCH; i++) {
		if (await_turn(1) < 0)
			return 0;
		hand_turn(0);
	}
	return TASK_AGAIN;
}
CELL_PROVIDE(task_ops, bench_turn_peer) = {.run = turn_peer};

static int64_t turn_task(uint64_t arg)
{
	struct bench *b = (struct bench *)(uintptr_t)arg;
	int r = 0;

	b->ops = TRIPS;
	while (r == 0 && bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; r == 0 && i < TRIPS; i++) {
			hand_turn(1);
			r = await_turn(0);
		}
		bench_stop(b, start);
	}
	return r;
}
CELL_PROVIDE(task_ops, bench_turn) = {.run = turn_task};

static int event(struct bench *b)
{
	int cpu = peer_cpu(b), r = cpu;

	bench_state()->turn.whose = 0;
	if (cpu >= 0)
		r = bench_crowd(1, (unsigned)cpu, IFACE(task_ops, bench_turn_peer), 0);
	if (r == 0)
		r = bench_on(bench_cpu(), IFACE(task_ops, bench_turn), b);
	bench_dismiss_crowd();
	return r;
}
CELL_PROVIDE(bench_ops, event) = {.run = event, .n_params = 2, .params = {0, 1}};
