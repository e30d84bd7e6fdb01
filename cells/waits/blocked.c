/* SPDX-License-Identifier: MIT */
/*
 * Every kind of wait, by a task each that does nothing else. They begin one after the other, so
 * the order in which each line is to be served is known.
 */
#include "waits.h"

/* ends of these waits, each of one task */
enum channels {
	SEND_MEET = 0,  /* rendezvous; three send */
	SEND_FULL,      /* async, two in it; three send */
	RECEIVE_MEET,   /* rendezvous; three receive */
	RECEIVE_EMPTY,  /* async; one gives up, two receive */
	SELECT_RECEIVE, /* async; two select from it or send to... */
	SELECT_FULL,    /* async, one in it */
	NEVER,          /* async; one selects and gives up */
};
#define FULL 2u

enum turns { TURN_MUTEX = 0, TURN_RWLOCK, TURN_SEMAPHORE };

#define GIVE_UP_NS (CLOCK_S / 2)

static uint64_t give_up(void)
{
	return waits()->began_ns + GIVE_UP_NS;
}

/* ---- who holds what the others wait for ---- */

static void until_go(void)
{
	struct waits_state *w = waits();
	uint64_t seen;

	for (;;) {
		seen = task_event_count(&w->going);
		if (__atomic_load_n(&w->go, __ATOMIC_ACQUIRE))
			return;
		(void)(task_event_wait(&w->going, seen, CLOCK_NEVER) < 0);
	}
}

static int64_t hold_mutex(uint64_t arg)
{
	(void)arg;
	if (mutex_lock(&waits()->mutex, 0) != 0)
		return -1;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&waits()->mutex);
	until_go();
	return held == NULL;
}
CELL_PROVIDE(task_ops, waits_hold_mutex) = {.run = hold_mutex};

static int64_t hold_rwlock(uint64_t arg)
{
	(void)arg;
	if (rwlock_write(&waits()->rwlock, 0) != 0)
		return -1;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&waits()->rwlock);
	until_go();
	return held == NULL;
}
CELL_PROVIDE(task_ops, waits_hold_rwlock) = {.run = hold_rwlock};

static int init_once(void *arg)
{
	(void)arg;
	waits()->inits++;
	until_go();
	return 0;
}

static int64_t do_once(uint64_t arg)
{
	(void)arg;
	return once(&waits()->once, init_once, NULL, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, waits_once) = {.run = do_once};

/* ---- who waits for locks: the result is the turn in which it got it, or -errno ---- */

static int64_t turn(enum turns line)
{
	return __atomic_fetch_add(&waits()->turn[line], 1, __ATOMIC_RELAXED);
}

static int64_t lock(uint64_t deadline_ns)
{
	int r = mutex_lock(&waits()->mutex, deadline_ns);

	if (r != 0)
		return r;
	OWNED(mutex_drop) struct mutex *held = mutex_held(&waits()->mutex);
	return turn(TURN_MUTEX);
}
CELL_PROVIDE(task_ops, waits_lock) = {.run = lock};

static int64_t read(uint64_t deadline_ns)
{
	int r = rwlock_read(&waits()->rwlock, deadline_ns);

	if (r != 0)
		return r;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_read_held(&waits()->rwlock);
	return turn(TURN_RWLOCK);
}
CELL_PROVIDE(task_ops, waits_read) = {.run = read};

static int64_t write(uint64_t deadline_ns)
{
	int r = rwlock_write(&waits()->rwlock, deadline_ns);

	if (r != 0)
		return r;
	OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&waits()->rwlock);
	return turn(TURN_RWLOCK);
}
CELL_PROVIDE(task_ops, waits_write) = {.run = write};

/* Hands its unit on: two units at once would let the second one overtake on another CPU. */
static int64_t take(uint64_t deadline_ns)
{
	int r = semaphore_wait(&waits()->semaphore, deadline_ns);
	int64_t mine;

	if (r != 0)
		return r;
	mine = turn(TURN_SEMAPHORE);
	r = semaphore_post(&waits()->semaphore);
	return r < 0 ? r : mine;
}
CELL_PROVIDE(task_ops, waits_take) = {.run = take};

/* ---- who waits at channels: the result is the number of the message, or -errno ---- */

/* @arg: channel << 32 | number */
static int64_t send(uint64_t arg)
{
	const struct message m = {.number = (uint32_t)arg};
	int r = channel_send(waits()->send[arg >> 32], &m, CLOCK_NEVER);

	return r < 0 ? r : (int64_t)m.number;
}
CELL_PROVIDE(task_ops, waits_send) = {.run = send};

static int64_t receive_until(unsigned channel, uint64_t deadline_ns)
{
	struct message m = {.number = 0};
	int r = channel_receive(waits()->receive[channel], &m, deadline_ns);

	return r < 0 ? r : (int64_t)m.number;
}

static int64_t receive(uint64_t channel)
{
	return receive_until((unsigned)channel, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, waits_receive) = {.run = receive};

static int64_t receive_or_not(uint64_t channel)
{
	return receive_until((unsigned)channel, give_up());
}
CELL_PROVIDE(task_ops, waits_receive_or_not) = {.run = receive_or_not};

/* Result: case << 32 | number. */
static int64_t choose(unsigned from, unsigned to, uint32_t number, uint64_t deadline_ns)
{
	struct message got = {.number = 0}, give = {.number = number};
	struct channel_case cases[2] = {
		{.end = waits()->receive[from], .message = &got},
		{.end = waits()->send[to], .message = &give},
	};
	int r = channel_select(cases, 2, deadline_ns);

	if (r < 0 || cases[r].result < 0)
		return r < 0 ? r : cases[r].result;
	return (int64_t)((uint64_t)r << 32 | (r == 0 ? got.number : number));
}

static int64_t select_either(uint64_t number)
{
	return choose(SELECT_RECEIVE, SELECT_FULL, (uint32_t)number, CLOCK_NEVER);
}
CELL_PROVIDE(task_ops, waits_select) = {.run = select_either};

static int64_t select_or_not(uint64_t number)
{
	return choose(NEVER, SEND_FULL, (uint32_t)number, give_up());
}
CELL_PROVIDE(task_ops, waits_select_or_not) = {.run = select_or_not};

/* ---- begin ---- */

/* One of the tasks, in order; what it has to return is part of the table. */
struct wait {
	struct task_ops_h entry;
	uint64_t arg;
	int64_t result;
};
#define WAITS 28u

static void list(struct wait ret[WAITS])
{
	const uint64_t never = CLOCK_NEVER, soon = give_up(), far = clock_after(LIMIT_NS);
	const uint64_t meet = (uint64_t)SEND_MEET << 32, full = (uint64_t)SEND_FULL << 32;
	const struct wait all[WAITS] = {
		{IFACE(task_ops, waits_hold_mutex), 0, 0},
		{IFACE(task_ops, waits_hold_rwlock), 0, 0},
		{IFACE(task_ops, waits_once), 0, 0},
		{IFACE(task_ops, waits_lock), never, 0},
		{IFACE(task_ops, waits_lock), soon, -ETIMEDOUT},
		{IFACE(task_ops, waits_lock), far, 1},
		{IFACE(task_ops, waits_lock), never, 2},
		{IFACE(task_ops, waits_read), never, 0},
		{IFACE(task_ops, waits_write), far, 1},
		{IFACE(task_ops, waits_write), soon, -ETIMEDOUT},
		{IFACE(task_ops, waits_read), never, 2},
		{IFACE(task_ops, waits_take), never, 0},
		{IFACE(task_ops, waits_take), soon, -ETIMEDOUT},
		{IFACE(task_ops, waits_take), far, 1},
		{IFACE(task_ops, waits_once), 0, 0},
		{IFACE(task_ops, waits_send), meet | 1, 1},
		{IFACE(task_ops, waits_send), meet | 2, 2},
		{IFACE(task_ops, waits_send), meet | 3, 3},
		{IFACE(task_ops, waits_select_or_not), 99, -ETIMEDOUT},
		{IFACE(task_ops, waits_send), full | 3, 3},
		{IFACE(task_ops, waits_send), full | 4, 4},
		{IFACE(task_ops, waits_receive), RECEIVE_MEET, 1},
		{IFACE(task_ops, waits_receive), RECEIVE_MEET, 2},
		{IFACE(task_ops, waits_receive_or_not), RECEIVE_EMPTY, -ETIMEDOUT},
		{IFACE(task_ops, waits_receive), RECEIVE_EMPTY, 1},
		{IFACE(task_ops, waits_receive), RECEIVE_EMPTY, 2},
		{IFACE(task_ops, waits_select), 2, 0ll << 32 | 7},
		{IFACE(task_ops, waits_select), 3, 1ll << 32 | 3},
	};

	for (unsigned i = 0; i < WAITS; i++)
		ret[i] = all[i];
}

unsigned blocked_count(void)
{
	struct task_info info;
	unsigned n = 0;

	for (unsigned i = 0; i < waits()->n_blocked; i++)
		n += task_describe(waits()->blocked[i], &info) == 0 && info.state == TASK_BLOCKED;
	return n;
}

/* Result: 0, -EPROTO: it ended instead. */
static int until_blocked(struct task_ref task)
{
	struct task_info info;

	do {
		task_yield();
		if (task_describe(task, &info) < 0 || info.state >= TASK_EXITED)
			return -EPROTO;
	} while (info.state != TASK_BLOCKED);
	return 0;
}

static int fill(unsigned channel, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 1; i <= n && r == 0; i++)
		r = channel_send(waits()->send[channel], &(struct message){.number = i}, 0);
	return r;
}

int blocked_start(void)
{
	static const uint32_t capacities[] = {[SEND_FULL] = FULL, [RECEIVE_EMPTY] = 2,
					      [SELECT_RECEIVE] = 1, [SELECT_FULL] = 1,
					      [NEVER] = 1};
	struct waits_state *w = waits();
	struct wait all[WAITS];
	int r = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(capacities) && r == 0; i++)
		r = waits_channel(i, capacities[i]);
	if (r == 0)
		r = fill(SEND_FULL, FULL);
	if (r == 0)
		r = fill(SELECT_FULL, 1);
	w->began_ns = clock_now_ns();
	list(all);
	while (r == 0 && w->n_blocked < WAITS) {
		r = TASK_SPAWN(&w->blocked[w->n_blocked], all[w->n_blocked].entry,
			       all[w->n_blocked].arg, .name = "waits");
		if (r == 0)
			r = until_blocked(w->blocked[w->n_blocked++]);
	}
	return r;
}

/* ---- finish ---- */

static void join(unsigned i, int64_t result)
{
	struct task_exit exit = {.end = 0};
	int r = task_join(waits()->blocked[i], clock_after(LIMIT_NS), &exit);

	if (r < 0 || exit.end != TASK_COMPLETED || exit.value != result)
		waits_wrong("wait %u: error %d, end %d, value %lld, not %lld", i, r, exit.end,
			    (long long)exit.value, (long long)result);
}

static void expect_message(unsigned channel, uint32_t number)
{
	int64_t got = receive_until(channel, clock_after(LIMIT_NS));

	if (got != number)
		waits_wrong("channel %u: %lld instead of message %u", channel, (long long)got, number);
}

static void give_message(unsigned channel, uint32_t number)
{
	const struct message m = {.number = number};
	int r = channel_send(waits()->send[channel], &m, clock_after(LIMIT_NS));

	if (r < 0)
		waits_wrong("channel %u: message %u: error %d", channel, number, r);
}

static void expect_empty(unsigned channel)
{
	struct channel_info info;

	if (channel_info(waits()->send[channel], &info) < 0 || info.queued || info.waiting)
		waits_wrong("channel %u: %u messages and %u waits are left", channel, info.queued,
			    info.waiting);
}

static void serve_channels(void)
{
	for (uint32_t i = 1; i <= 3; i++)
		expect_message(SEND_MEET, i);
	for (uint32_t i = 1; i <= FULL + 2; i++)
		expect_message(SEND_FULL, i);
	for (uint32_t i = 1; i <= 2; i++) {
		give_message(RECEIVE_MEET, i);
		give_message(RECEIVE_EMPTY, i);
	}
	give_message(SELECT_RECEIVE, 7);
	expect_message(SELECT_FULL, 1);
	expect_message(SELECT_FULL, 3);
}

void blocked_finish(void)
{
	struct waits_state *w = waits();
	struct wait all[WAITS];

	list(all);
	/* first those that give up: nobody gives them anything */
	for (unsigned i = 0; i < WAITS; i++) {
		if (all[i].result == -ETIMEDOUT)
			join(i, -ETIMEDOUT);
	}
	serve_channels();
	if (semaphore_post(&w->semaphore) < 0)
		waits_wrong("the semaphore takes no unit");
	__atomic_store_n(&w->go, 1, __ATOMIC_RELEASE);
	task_event_signal(&w->going);
	for (unsigned i = 0; i < WAITS; i++) {
		if (all[i].result != -ETIMEDOUT)
			join(i, all[i].result);
	}
	for (unsigned i = 0; i <= NEVER; i++)
		expect_empty(i);
	if (w->inits != 1)
		waits_wrong("once: %u inits", w->inits);
}
