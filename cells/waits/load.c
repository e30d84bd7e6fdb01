/* SPDX-License-Identifier: MIT */
/*
 * Traffic through channels and locks, some of it with deadlines that pass: what timed out was
 * not done, what succeeded was done once.
 */
#include "waits.h"

#define QUEUE 4u
#define UNITS 2u
#define SHORT_NS (CLOCK_MS / 5)

enum channels { MEET = 0, QUEUED, FIRST, SECOND };

static bool stopped(void)
{
	return __atomic_load_n(&waits()->stop, __ATOMIC_ACQUIRE);
}

static void round_done(void)
{
	__atomic_fetch_add(&waits()->rounds, 1, __ATOMIC_RELAXED);
}

/* Every third one only for a short time. */
static uint64_t deadline(uint64_t n)
{
	return n % 3 ? CLOCK_NEVER : clock_after(SHORT_NS);
}

/* ---- channels: producers 0, 1 meet a consumer, 2, 3 queue, 4 and 5 are selected from ---- */

static unsigned channel_of(uint64_t producer)
{
	return producer < 2 ? MEET : producer < 4 ? QUEUED : producer == 4 ? FIRST : SECOND;
}

static int64_t produce(uint64_t producer)
{
	struct waits_state *w = waits();
	uint64_t tries = 0;
	int r;

	while (!stopped()) {
		const struct message m = {.producer = producer, .number = w->sent[producer]};

		r = channel_send(w->send[channel_of(producer)], &m, deadline(tries++));
		if (r == 0)
			w->sent[producer]++;
		else if (r != -ETIMEDOUT)
			return r;
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_produce) = {.run = produce};

static void got(const struct message *m)
{
	struct waits_state *w = waits();

	if (m->producer >= PRODUCERS)
		waits_wrong("a message of producer %llu", (unsigned long long)m->producer);
	else if (m->number != w->received[m->producer]++)
		waits_wrong("producer %llu: message %llu instead of %llu",
			    (unsigned long long)m->producer, (unsigned long long)m->number,
			    (unsigned long long)w->received[m->producer] - 1);
	round_done();
}

static int64_t consume(uint64_t channel)
{
	uint64_t tries = 0;
	struct message m;
	int r;

	while ((r = channel_receive(waits()->receive[channel], &m, deadline(tries++))) != -EPIPE) {
		if (r == 0)
			got(&m);
		else if (r != -ETIMEDOUT)
			return r;
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_consume) = {.run = consume};

static int64_t consume_either(uint64_t arg)
{
	struct message m[2];
	struct channel_case cases[2] = {
		{.end = waits()->receive[FIRST], .message = &m[0]},
		{.end = waits()->receive[SECOND], .message = &m[1]},
	};
	uint64_t tries = 0;
	unsigned n = 2;
	int r;

	(void)arg;
	while (n > 0) {
		r = channel_select(cases, n, deadline(tries++));
		if (r == -ETIMEDOUT)
			continue;
		if (r < 0)
			return r;
		if (cases[r].result == 0)
			got(cases[r].message);
		else if (cases[r].result == -EPIPE)
			cases[r] = cases[--n]; /* this one is over */
		else
			return cases[r].result;
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_consume_either) = {.run = consume_either};

/* ---- locks ---- */

static int64_t lock_again(uint64_t arg)
{
	struct waits_state *w = waits();
	uint64_t tries = 0, seen;
	int64_t mine = 0;
	int r;

	(void)arg;
	while (!stopped()) {
		r = mutex_lock(&w->mutex, deadline(tries++));
		if (r == -ETIMEDOUT)
			continue;
		if (r != 0)
			return -1;
		OWNED(mutex_drop) struct mutex *held = mutex_held(&w->mutex);
		seen = w->counted;
		task_yield();
		w->counted = seen + 1;
		mine++;
		round_done();
	}
	__atomic_fetch_add(&w->locked, (uint64_t)mine, __ATOMIC_RELAXED);
	return 0;
}
CELL_PROVIDE(task_ops, waits_lock_again) = {.run = lock_again};

static int64_t write_again(uint64_t arg)
{
	struct waits_state *w = waits();
	uint64_t tries = 0;
	int r;

	(void)arg;
	while (!stopped()) {
		r = rwlock_write(&w->rwlock, deadline(tries++));
		if (r == -ETIMEDOUT)
			continue;
		if (r != 0)
			return -1;
		OWNED(rwlock_drop) struct rwlock *held = rwlock_write_held(&w->rwlock);
		w->left++;
		task_yield();
		w->right++;
		round_done();
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_write_again) = {.run = write_again};

static int64_t read_again(uint64_t arg)
{
	struct waits_state *w = waits();
	uint64_t tries = 0, left;
	int r;

	(void)arg;
	while (!stopped()) {
		r = rwlock_read(&w->rwlock, deadline(tries++));
		if (r == -ETIMEDOUT)
			continue;
		if (r != 0)
			return -1;
		OWNED(rwlock_drop) struct rwlock *held = rwlock_read_held(&w->rwlock);
		left = __atomic_load_n(&w->left, __ATOMIC_RELAXED);
		task_yield();
		if (left != __atomic_load_n(&w->right, __ATOMIC_RELAXED))
			waits_wrong("a reader and a writer at once");
		round_done();
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_read_again) = {.run = read_again};

static int64_t take_again(uint64_t arg)
{
	struct waits_state *w = waits();
	uint64_t tries = 0;
	int r;

	(void)arg;
	while (!stopped()) {
		r = semaphore_wait(&w->semaphore, deadline(tries++));
		if (r == -ETIMEDOUT)
			continue;
		if (r != 0)
			return -1;
		if (__atomic_add_fetch(&w->inside, 1, __ATOMIC_RELAXED) > UNITS)
			waits_wrong("more than %u units of the semaphore", UNITS);
		task_yield();
		__atomic_sub_fetch(&w->inside, 1, __ATOMIC_RELAXED);
		(void)semaphore_post(&w->semaphore);
		round_done();
	}
	return 0;
}
CELL_PROVIDE(task_ops, waits_take_again) = {.run = take_again};

/* ---- the whole ---- */

static int spawn(struct task_ops_h entry, uint64_t arg)
{
	struct waits_state *w = waits();
	int r = TASK_SPAWN(&w->load[w->n_load], entry, arg, .name = "waits");

	w->n_load += r == 0;
	return r;
}

int load_start(void)
{
	struct waits_state *w = waits();
	int r = 0;

	for (unsigned i = 0; i <= SECOND && r == 0; i++)
		r = waits_channel(i, i == MEET ? 0 : QUEUE);
	w->semaphore = SEMAPHORE_INIT(UNITS);
	for (uint64_t i = 0; i < PRODUCERS && r == 0; i++)
		r = spawn(IFACE(task_ops, waits_produce), i);
	for (uint64_t i = 0; i < 3 && r == 0; i++) {
		r = spawn(IFACE(task_ops, waits_lock_again), i);
		if (r == 0)
			r = spawn(IFACE(task_ops, waits_take_again), i);
		if (r == 0)
			r = spawn(i ? IFACE(task_ops, waits_read_again)
				    : IFACE(task_ops, waits_write_again), i);
	}
	w->n_producers = w->n_load;
	for (uint64_t i = MEET; i <= QUEUED && r == 0; i++)
		r = spawn(IFACE(task_ops, waits_consume), i);
	return r == 0 ? spawn(IFACE(task_ops, waits_consume_either), 0) : r;
}

static void join(unsigned i)
{
	struct task_exit exit = {.end = 0};
	int r = task_join(waits()->load[i], clock_after(LIMIT_NS), &exit);

	if (r < 0 || exit.end != TASK_COMPLETED || exit.value != 0)
		waits_wrong("task %u: error %d, end %d, value %lld", i, r, exit.end,
			    (long long)exit.value);
}

void load_finish(void)
{
	struct waits_state *w = waits();

	__atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < w->n_producers; i++)
		join(i);
	/* consumers take what is left, and hear that nobody sends any more */
	for (unsigned i = 0; i <= SECOND; i++) {
		(void)channel_close(w->send[i]);
		w->send[i] = (struct channel_end){.channel = 0};
	}
	for (unsigned i = w->n_producers; i < w->n_load; i++)
		join(i);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		if (w->sent[i] != w->received[i] || w->sent[i] == 0)
			waits_wrong("producer %u: %llu sent, %llu received", i,
				    (unsigned long long)w->sent[i],
				    (unsigned long long)w->received[i]);
	}
	if (w->locked != w->counted || w->left != w->right || w->inside != 0)
		waits_wrong("locked %llu, counted %llu; written %llu, %llu; inside %u",
			    (unsigned long long)w->locked, (unsigned long long)w->counted,
			    (unsigned long long)w->left, (unsigned long long)w->right, w->inside);
}
