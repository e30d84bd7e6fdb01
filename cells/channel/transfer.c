/* SPDX-License-Identifier: MIT */
/*
 * Who gets which message. Invariants, outside of the lock:
 *  - nobody waits to receive while there is something to take, and nobody waits to send while
 *    it could be put somewhere, except that what is in the ring and what is `given` together
 *    never exceed the ring: so all of it could come back
 *  - a message is in one place: the sender's record until that is RECORD_DONE, the ring, or the
 *    record of the receiver whose state is RECORD_DONE for this link
 */
#include "internal.h"

static bool claim(struct link *link)
{
	uint32_t waiting = RECORD_WAITING;

	return __atomic_compare_exchange_n(&link->record->state, &waiting,
					   RECORD_DONE + link->index, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* The first on @side whose wait something else has not ended yet, and that is not @but's. */
static struct link *first_waiting(const struct channel *channel, enum side side,
				  const struct record *but) REQUIRES(channel_slot)
{
	struct link *link = channel->first[side];

	while (link && (link->record == but ||
			__atomic_load_n(&link->record->state, __ATOMIC_ACQUIRE) != RECORD_WAITING))
		link = link->next;
	return link;
}

static bool room(const struct channel *channel) REQUIRES(channel_slot)
{
	return channel->ring.count + channel->given < channel->ring.length;
}

/* The receiver behind @link, which is claimed, has its message. */
static void given(struct channel *channel, struct link *link) REQUIRES(channel_slot)
{
	channel->given++;
	task_event_signal(&link->record->event);
}

/* Claims a sender, not @but: its message counts as sent, and stays where it is under the lock. */
static struct link *claim_sender(struct channel *channel, const struct record *but)
	REQUIRES(channel_slot)
{
	struct link *link;

	while ((link = first_waiting(channel, SENDING, but))) {
		if (claim(link)) {
			task_event_signal(&link->record->event);
			return link;
		}
	}
	return NULL;
}

/* What senders wait with moves up into an async channel's queue. */
static void refill(struct channel *channel) REQUIRES(channel_slot)
{
	const struct link *from;

	while (channel->kind == CHANNEL_ASYNC && room(channel) &&
	       (from = claim_sender(channel, NULL)))
		ring_push(&channel->ring, from->message);
}

void transfer_serve(struct channel *channel)
{
	struct link *to;
	const struct link *from;

	refill(channel);
	while ((to = first_waiting(channel, RECEIVING, NULL))) {
		if (channel->ring.count == 0 &&
		    (!room(channel) || !first_waiting(channel, SENDING, to->record)))
			return;
		if (!claim(to))
			continue;
		if (channel->ring.count > 0) {
			ring_pop(&channel->ring, to->record->message);
		} else if ((from = claim_sender(channel, to->record))) {
			memcpy(to->record->message, from->message, channel->ring.bytes);
		} else {
			/* no sender after all; its task looks only under the lock */
			__atomic_store_n(&to->record->state, RECORD_AGAIN, __ATOMIC_RELEASE);
			task_event_signal(&to->record->event);
			continue;
		}
		given(channel, to);
		refill(channel);
	}
}

int transfer_send(struct channel *channel, const void *message)
{
	uint8_t copy[CHANNEL_MESSAGE_MAX];
	struct link *to;

	if (channel->n_ends[RECEIVING] == 0)
		return -EPIPE;
	if (!room(channel) || (channel->first[SENDING] && first_waiting(channel, SENDING, NULL)))
		return -EAGAIN;
	if (channel->first[RECEIVING] && channel->ring.count == 0) {
		/* first out of the sender's memory, where it may fault, then the claim */
		memcpy(copy, message, channel->ring.bytes);
		while ((to = first_waiting(channel, RECEIVING, NULL))) {
			if (!claim(to))
				continue;
			memcpy(to->record->message, copy, channel->ring.bytes);
			given(channel, to);
			return 0;
		}
	}
	if (channel->kind != CHANNEL_ASYNC)
		return -EAGAIN;
	ring_push(&channel->ring, message);
	return 0;
}

int transfer_receive(struct channel *channel, void *message)
{
	uint8_t before[CHANNEL_MESSAGE_MAX];
	struct link *from;

	/* also while one waits that has just entered and not left again: nobody would wake a second */
	if (channel->ring.count == 0 && channel->n_ends[SENDING] == 0)
		return -EPIPE;
	if (channel->first[RECEIVING] && first_waiting(channel, RECEIVING, NULL))
		return -EAGAIN;
	if (channel->ring.count > 0) {
		ring_pop(&channel->ring, message);
		if (channel->first[SENDING])
			refill(channel);
		return 0;
	}
	while ((from = first_waiting(channel, SENDING, NULL))) {
		/* first to where it may fault, then the claim; without it nothing was received */
		memcpy(before, message, channel->ring.bytes);
		memcpy(message, from->message, channel->ring.bytes);
		if (claim(from)) {
			task_event_signal(&from->record->event);
			return 0;
		}
		memcpy(message, before, channel->ring.bytes);
	}
	return -EAGAIN;
}

void transfer_link(struct channel *channel, struct link *link)
{
	enum side side = end_side(link->end);

	link->next = NULL;
	link->before = channel->last[side];
	if (link->before)
		link->before->next = link;
	else
		channel->first[side] = link;
	channel->last[side] = link;
	channel->n_links++;
	link->linked = true;
}

void transfer_unlink(struct channel *channel, struct link *link)
{
	enum side side = end_side(link->end);

	if (link->before)
		link->before->next = link->next;
	else
		channel->first[side] = link->next;
	if (link->next)
		link->next->before = link->before;
	else
		channel->last[side] = link->before;
	channel->n_links--;
	link->linked = false;
}

void transfer_wake(struct channel *channel, enum side side, const struct channel_end *only)
{
	uint32_t waiting;

	for (struct link *link = channel->first[side]; link; link = link->next) {
		if (only && link->end.end != only->end)
			continue;
		waiting = RECORD_WAITING;
		if (__atomic_compare_exchange_n(&link->record->state, &waiting, RECORD_AGAIN, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			task_event_signal(&link->record->event);
	}
}
