/* SPDX-License-Identifier: MIT */
/*
 * Waiting. Each call tries first; only one that would wait needs a record. From then on
 * others may do what it asks for, at one moment: when they turn its record to RECORD_DONE.
 *
 * A swap of this cell breaks the wait off (-ERESTART_CELL): the record stays linked and may be
 * done meanwhile; the stub calls again, and that call, in whatever version, goes on with it.
 * So nothing is sent twice or lost between the two.
 */
#include <theseus/ledger.h>
#include <theseus/percpu.h>

#include "internal.h"

CELL_EXPORT_BLOCKING(channel_send);
CELL_EXPORT_BLOCKING(channel_receive);
CELL_EXPORT_BLOCKING(channel_select);

/* ---- the task's record: task_head.channel holds its handle ---- */

static struct task_head *self(void)
{
	return percpu_read(task);
}

static struct handle record_handle(const struct task_head *head)
{
	return (struct handle){.type = channel_state()->records.id,
			       .slot = (uint32_t)head->channel[0],
			       .generation = head->channel[1]};
}

static bool in_flight(void)
{
	return self()->channel[0] >> 63;
}

static void set_in_flight(bool yes)
{
	struct task_head *head = self();

	head->channel[0] = (head->channel[0] & UINT32_MAX) | (uint64_t)yes << 63;
}

static struct record *record_find(void)
{
	return object_get(channel_state()->records, record_handle(self()));
}

/* Result: 0, -ENOMEM. */
static int record_make(struct record **ret_record)
{
	struct task_head *head = self();
	struct object_owner owner = {.cell = CELL_SELF, .task = head->id};
	struct handle h;
	int r;

	*ret_record = record_find();
	if (*ret_record)
		return 0;
	r = object_create(channel_state()->records, owner, &h);
	if (r < 0)
		return r;
	head->channel[0] = h.slot;
	head->channel[1] = h.generation;
	*ret_record = record_find();
	return 0;
}

/* ---- ending a wait ---- */

/*
 * A message that was given to this record goes to its receiver, or back if there is none. First
 * the copy, into memory that may be bad: after a fault the message is still the record's.
 */
static void settle(struct channel *channel, const struct record *record, void *message)
	REQUIRES(channel_slot)
{
	if (message)
		memcpy(message, record->message, channel->ring.bytes);
	else
		ring_push_front(&channel->ring, record->message);
	channel->given--;
}

/*
 * Out of all lists. Without @cases what was given to the record goes back. Result: the index that
 * was done; -EAGAIN: none.
 */
static int unlink_all(struct record *record, const struct channel_case *cases)
{
	uint32_t waiting = RECORD_WAITING;
	struct channel *channel;
	int done = -EAGAIN;

	if (__atomic_load_n(&record->state, __ATOMIC_RELAXED) == RECORD_WAITING)
		__atomic_compare_exchange_n(&record->state, &waiting, RECORD_CLOSED, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < record->n; i++) {
		struct link *link = &record->links[i];

		if (!link->linked)
			continue;
		channel = channel_lock(link->end);
		if (!channel)
			continue;
		if (__atomic_load_n(&record->state, __ATOMIC_ACQUIRE) == RECORD_DONE + i) {
			done = (int)i;
			if (end_side(link->end) == RECEIVING)
				settle(channel, record, cases ? cases[i].message : NULL);
		}
		transfer_unlink(channel, link);
		transfer_serve(channel);
		channel_unlock_free(channel);
	}
	return done;
}

static void end(struct record *record)
{
	record->n = 0;
	if (record->block) {
		LEDGER_WHOLE();
		heap_free(TAKE(record->block));
	}
}

void record_abandon(struct record *record)
{
	(void)unlink_all(record, NULL);
	end(record);
}

/* The frame of a wait is unwound. */
static void wait_drop(struct record **record)
{
	if (!*record)
		return;
	record_abandon(*record);
	set_in_flight(false);
}

/* ---- one try ---- */

/* As transfer_send() and transfer_receive(); also -ESTALE. */
static int try_locked(struct channel *channel, struct channel_end end, void *message)
	REQUIRES(channel_slot)
{
	int r = channel_check(channel, end);

	if (r < 0)
		return r;
	return end_side(end) == SENDING ? transfer_send(channel, message)
					: transfer_receive(channel, message);
}

static int try(struct channel_end end, void *message)
{
	struct channel *channel = channel_lock(end);
	int r;

	if (!channel)
		return -ESTALE;
	r = try_locked(channel, end, message);
	channel_unlock(channel);
	return r;
}

/* ---- the wait ---- */

/* Room for @n links and the messages of the cases that send. */
static int prepare(struct record *record, const struct channel_case *cases, unsigned n)
{
	LEDGER_WHOLE();
	size_t bytes = n * sizeof(struct link);
	struct channel_info info;
	uint8_t *at;

	record->links = &record->own;
	at = record->message;
	if (n > 1) {
		record->block = heap_alloc(CELL_SELF, bytes + n * CHANNEL_MESSAGE_MAX);
		if (!record->block)
			return -ENOMEM;
		record->links = record->block;
		at = (uint8_t *)record->block + bytes;
	}
	for (unsigned i = 0; i < n; i++) {
		struct link *link = &record->links[i];

		*link = (struct link){.record = record,
				      .end = cases[i].end,
				      .message = at + (size_t)i * CHANNEL_MESSAGE_MAX,
				      .index = i};
		/* an end that is closed already will turn out in enter() */
		if (end_side(link->end) == SENDING && channel_info(link->end, &info) == 0)
			memcpy(link->message, cases[i].message, info.bytes);
	}
	record->n = n;
	return 0;
}

/*
 * Tries the one case of a call, and where that would wait enters the list in the same section,
 * with the task's record if it has one: *ret_guard is set then. Result: as try().
 */
static int try_or_enter(const struct channel_case *only, struct record **ret_guard)
{
	struct channel *channel = channel_lock(only->end);
	struct record *record;
	int r;

	if (!channel)
		return -ESTALE;
	r = try_locked(channel, only->end, only->message);
	record = r == -EAGAIN ? record_find() : NULL;
	if (record) {
		record->links = &record->own;
		record->own = (struct link){.record = record,
					    .end = only->end,
					    .message = record->message};
		if (end_side(only->end) == SENDING)
			memcpy(record->message, only->message, channel->ring.bytes);
		record->n = 1;
		record->key = only->message;
		__atomic_store_n(&record->state, RECORD_WAITING, __ATOMIC_RELEASE);
		*ret_guard = record;
		set_in_flight(true);
		/* nobody is to be served: what it could have been served with, the try would have had */
		transfer_link(channel, &record->own);
	}
	channel_unlock(channel);
	return r;
}

/* Result: 0; -EPIPE, -ESTALE: unless it is done already, it cannot be. */
static int enter(struct channel *channel, struct link *link) REQUIRES(channel_slot)
{
	enum side side = end_side(link->end);
	int r = channel_check(channel, link->end);

	if (r == 0 && side == SENDING && channel->n_ends[RECEIVING] == 0)
		r = -EPIPE;
	if (r < 0)
		return r;
	transfer_link(channel, link);
	transfer_serve(channel);
	return side == RECEIVING && channel->n_ends[SENDING] == 0 ? -EPIPE : 0;
}

/*
 * Enters all lists, or finds that one can be done at once. Result: -EAGAIN = wait; else the
 * index that was done here, with its result.
 */
static int enlist(struct record *record, struct channel_case *cases, unsigned n, unsigned first)
{
	__atomic_store_n(&record->state, RECORD_WAITING, __ATOMIC_RELEASE);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = (first + k) % n;
		struct link *link = &record->links[i];
		struct channel *channel = channel_lock(link->end);
		uint32_t waiting = RECORD_WAITING;
		int r = -ESTALE;

		if (channel) {
			r = enter(channel, link);
			channel_unlock(channel);
		}
		/* what was done through a link counts before what cannot be done */
		if (r < 0 &&
		    __atomic_compare_exchange_n(&record->state, &waiting, RECORD_CLOSED, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			cases[i].result = r;
			return (int)i;
		}
		if (__atomic_load_n(&record->state, __ATOMIC_ACQUIRE) != RECORD_WAITING)
			break;
	}
	return -EAGAIN;
}

static int wait_until_ended(struct record *record, uint64_t deadline_ns)
{
	uint64_t seen;
	int r = 0;

	while (r == 0) {
		seen = task_event_count(&record->event);
		if (__atomic_load_n(&record->state, __ATOMIC_ACQUIRE) != RECORD_WAITING)
			break;
		r = task_event_wait(&record->event, seen, deadline_ns);
	}
	return r;
}

/*
 * One round, with a record if it has to wait. Result: the index that was done; -EAGAIN =
 * something changed, try again; -errno.
 */
static int round(struct channel_case *cases, unsigned n, unsigned first, uint64_t deadline_ns)
{
	OWNED(wait_drop) struct record *guard = NULL;
	struct record *record;
	int r = 0, done = -EAGAIN;

	if (n == 1 && !in_flight()) {
		cases[0].result = try_or_enter(&cases[0], &guard);
		if (cases[0].result != -EAGAIN)
			return 0;
	}
	if (!guard)
		r = record_make(&guard);
	if (r < 0)
		return r;
	record = guard;
	if (!in_flight()) {
		r = prepare(record, cases, n);
		if (r < 0)
			return r;
		record->key = cases[0].message;
		set_in_flight(true);
		done = enlist(record, cases, n, first);
	}
	if (done == -EAGAIN)
		r = wait_until_ended(record, deadline_ns);
	if (r == -ERESTART_CELL) {
		(void)TAKE(guard);
		return r;
	}
	if (done == -EAGAIN) {
		done = unlink_all(record, cases);
		if (done >= 0)
			cases[done].result = 0;
	}
	return done >= 0 ? done : r < 0 ? r : -EAGAIN;
}

/* ---- calls ---- */

/* This call was broken off by a swap: its record goes on. */
static bool resumes(const void *key)
{
	struct record *record;

	if (!in_flight())
		return false;
	record = record_find();
	if (record && record->key == key)
		return true;
	if (record)
		record_abandon(record);
	set_in_flight(false);
	return false;
}

static int one_of(struct channel_case *cases, unsigned n, uint64_t deadline_ns)
{
	bool resumed = resumes(cases[0].message);
	unsigned first = 0, i;
	int r;

	for (;;) {
		if (n > 1)
			first = __atomic_fetch_add(&channel_state()->turn, 1, __ATOMIC_RELAXED);
		/* of a single case that may wait, round() makes the try */
		for (unsigned k = 0; k < n && !resumed && (n > 1 || deadline_ns == 0); k++) {
			i = (first + k) % n;
			r = try(cases[i].end, cases[i].message);
			if (r != -EAGAIN) {
				cases[i].result = r;
				return (int)i;
			}
		}
		if (deadline_ns == 0)
			return -ETIMEDOUT;
		r = round(cases, n, first, deadline_ns);
		if (r != -EAGAIN)
			return r;
		resumed = false;
	}
}

static int single(struct channel_end end, enum side side, void *message, uint64_t deadline_ns)
{
	struct channel_case only = {.end = end, .message = message};
	int r;

	if (deadline_ns != 0)
		lock_order_may_block(LOCK_PLACE);
	if (end_side(end) != side)
		return -EINVAL;
	r = one_of(&only, 1, deadline_ns);
	return r < 0 ? r : only.result;
}

int channel_send(struct channel_end end, const void *message, uint64_t deadline_ns)
{
	return single(end, SENDING, (void *)(uintptr_t)message, deadline_ns);
}

int channel_receive(struct channel_end end, void *message, uint64_t deadline_ns)
{
	return single(end, RECEIVING, message, deadline_ns);
}

int channel_select(struct channel_case *cases, unsigned n, uint64_t deadline_ns)
{
	if (deadline_ns != 0)
		lock_order_may_block(LOCK_PLACE);
	if (n == 0 || n > CHANNEL_CASES_MAX)
		return -EINVAL;
	return one_of(cases, n, deadline_ns);
}
