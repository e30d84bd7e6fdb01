/* SPDX-License-Identifier: MIT */
/*
 * Channels and their ends. A channel is a typed object of its creator's cell; by each end
 * there is a small object, the token, that belongs to the end's owner, so that the ledger
 * closes the end with it. A channel is used and freed only under the lock of its slot.
 */
#include <theseus/ledger.h>

#include "internal.h"

CELL_INFO(.name = "channel", .version = "1.0.0",
	  .summary = "messages between tasks: rendezvous, async, select", .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "keeps what is sent and where to receive in one field, without the const");

CELL_EXPORT(channel_create);
CELL_EXPORT(channel_reconnect);
CELL_EXPORT(channel_give);
CELL_EXPORT(channel_close);
CELL_EXPORT(channel_info);

CELL_STATE(struct channel_state, state) = {.turn = 0};

#define ENDS_FIRST 4u /* entries that a new channel has */
#define RETURNS 4u    /* of a rendezvous: messages that may be given and not looked at */

struct channel_state *channel_state(void)
{
	return &state;
}

/* ---- look-up ---- */

/* NO_THREAD_SAFETY: what is checked is that who locks unlocks, not which lock of the table it is. */
struct channel *channel_lock(struct channel_end end) NO_THREAD_SAFETY
{
	struct handle h = {
		.type = state.channels.id, .slot = end.channel, .generation = end.generation};
	struct channel_place *place = &state.places[end.channel % PLACES];
	struct channel *channel;

	spin_lock(&place->lock);
	if (place->generation == end.generation && place->slot == end.channel && end.generation)
		return place->channel;
	channel = object_get(state.channels, h);
	if (channel) {
		place->slot = end.channel;
		place->generation = end.generation;
		place->channel = channel;
	} else {
		spin_unlock(&place->lock);
	}
	return channel;
}

void channel_unlock(struct channel *channel) NO_THREAD_SAFETY
{
	spin_unlock(&state.places[channel->handle.slot % PLACES].lock);
}

static void destroy(struct channel *channel) REQUIRES(channel_slot)
{
	struct handle h = channel->handle;

	heap_free(channel->ring.slots);
	heap_free(channel->ends);
	(void)object_destroy(state.channels, h);
}

void channel_unlock_free(struct channel *channel) NO_THREAD_SAFETY
{
	struct channel_place *place = &state.places[channel->handle.slot % PLACES];

	if (channel->n_links == 0 && channel->n_ends[SENDING] + channel->n_ends[RECEIVING] == 0) {
		place->generation = 0;
		destroy(channel);
	}
	spin_unlock(&place->lock);
}

static struct end_entry *entry_of(const struct channel *channel, struct channel_end end)
	REQUIRES(channel_slot)
{
	struct end_entry *entry = &channel->ends[end_index(end)];

	if (end_index(end) >= channel->ends_max || entry->token.type == 0 ||
	    entry->generation != end.end >> 16 || entry->side != end_side(end))
		return NULL;
	return entry;
}

int channel_check(const struct channel *channel, struct channel_end end)
{
	return entry_of(channel, end) ? 0 : -ESTALE;
}

/* ---- ends ---- */

static void add_entries(struct channel *channel, struct end_entry *entries, uint32_t n)
	REQUIRES(channel_slot)
{
	for (uint32_t i = n; i-- > channel->ends_max;) {
		entries[i] = (struct end_entry){.next_free = channel->first_free};
		channel->first_free = i + 1;
	}
	channel->ends = entries;
	channel->ends_max = n;
}

/* Doubles the table. Unlocked meanwhile: somebody else may have been faster. */
static int grow(struct channel_end of)
{
	OWNED(heap_drop) struct end_entry *entries = NULL;
	struct end_entry *old;
	struct channel *channel = channel_lock(of);
	uint32_t had;

	if (!channel)
		return -ESTALE;
	had = channel->ends_max;
	channel_unlock(channel);
	if (had >= CHANNEL_ENDS_MAX)
		return -ENOSPC;
	entries = heap_alloc(CELL_SELF, (size_t)had * 2 * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	channel = channel_lock(of);
	if (!channel)
		return -ESTALE;
	if (channel->ends_max == had) {
		old = channel->ends;
		memcpy(entries, old, had * sizeof(*entries));
		add_entries(channel, entries, had * 2);
		entries = old;
	}
	channel_unlock(channel);
	return 0;
}

/* Takes a free entry for @token. Result: 0, -EAGAIN: there is none. */
static int enter(struct channel *channel, enum side side, struct handle token,
		 struct channel_end *ret_end) REQUIRES(channel_slot)
{
	uint32_t i = channel->first_free - 1;
	struct end_entry *entry = &channel->ends[i];

	if (channel->first_free == 0)
		return -EAGAIN;
	channel->first_free = entry->next_free;
	entry->token = token;
	entry->side = (uint8_t)side;
	entry->generation++;
	channel->n_ends[side]++;
	*ret_end = (struct channel_end){.channel = channel->handle.slot,
					.end = END_MAKE(side, i, entry->generation),
					.generation = channel->handle.generation};
	return 0;
}

/* Under the lock. Result: the end's token, which the caller destroys without it. */
static struct handle leave(struct channel *channel, struct channel_end end, struct end_entry *entry)
	REQUIRES(channel_slot)
{
	struct handle token = entry->token;
	enum side side = end_side(end);

	entry->token = (struct handle){.type = 0};
	entry->next_free = channel->first_free;
	channel->first_free = end_index(end) + 1;
	channel->n_ends[side]--;
	transfer_wake(channel, side, &end);
	if (channel->n_ends[side] == 0)
		transfer_wake(channel, side == SENDING ? RECEIVING : SENDING, NULL);
	return token;
}

static int close_end(struct channel_end end, struct handle *ret_token)
{
	struct channel *channel = channel_lock(end);
	struct end_entry *entry;

	if (!channel)
		return -ESTALE;
	entry = entry_of(channel, end);
	if (entry)
		*ret_token = leave(channel, end, entry);
	channel_unlock_free(channel);
	return entry ? 0 : -ESTALE;
}

int channel_close(struct channel_end end)
{
	LEDGER_WHOLE();
	struct handle token;
	int r = close_end(end, &token);

	if (r == 0)
		(void)object_destroy(state.ends, token);
	return r;
}

int channel_reconnect(struct channel_end end, struct object_owner owner,
		      struct channel_end *ret_end)
{
	LEDGER_WHOLE();
	struct channel *channel;
	struct channel_end *at;
	struct handle token;
	int r;

	r = object_create(state.ends, owner, &token);
	if (r < 0)
		return r;
	do {
		channel = channel_lock(end);
		r = -ESTALE;
		if (channel) {
			r = enter(channel, end_side(end), token, ret_end);
			at = object_get(state.ends, token);
			if (r == 0 && at)
				*at = *ret_end;
			channel_unlock(channel);
		}
		if (r == -EAGAIN)
			r = grow(end) ?: -EAGAIN;
	} while (r == -EAGAIN);
	if (r < 0)
		(void)object_destroy(state.ends, token);
	return r;
}

int channel_give(struct channel_end end, struct object_owner owner)
{
	struct channel *channel = channel_lock(end);
	const struct end_entry *entry;
	struct handle token = {.type = 0};

	if (!channel)
		return -ESTALE;
	entry = entry_of(channel, end);
	if (entry)
		token = entry->token;
	channel_unlock(channel);
	return entry ? object_set_owner(state.ends, token, owner) : -ESTALE;
}

/* ---- channels ---- */

static int allocate(const struct channel_attr *attr, struct channel *channel) REQUIRES(channel_slot)
{
	uint32_t length = attr->kind == CHANNEL_ASYNC ? attr->capacity : RETURNS;
	struct end_entry *entries;

	channel->kind = attr->kind;
	channel->capacity = attr->capacity;
	channel->ring = (struct ring){.bytes = attr->bytes, .length = length};
	channel->ring.slots = heap_alloc(attr->owner.cell, (size_t)length * attr->bytes);
	entries = heap_alloc(CELL_SELF, ENDS_FIRST * sizeof(*entries));
	if (entries)
		add_entries(channel, entries, ENDS_FIRST);
	return channel->ring.slots && entries ? 0 : -ENOMEM;
}

int channel_create(const struct channel_attr *attr, struct channel_end *ret_send,
		   struct channel_end *ret_receive)
{
	LEDGER_WHOLE();
	bool async = attr->kind == CHANNEL_ASYNC;
	struct object_owner owner = {.cell = attr->owner.cell};
	struct channel_end side[2];
	struct channel *channel;
	struct handle h;
	int r;

	if ((!async && attr->kind != CHANNEL_RENDEZVOUS) || attr->bytes == 0 ||
	    attr->bytes > CHANNEL_MESSAGE_MAX || attr->capacity > CHANNEL_CAPACITY_MAX ||
	    async != (attr->capacity != 0))
		return -EINVAL;
	r = object_create(state.channels, owner, &h);
	if (r < 0)
		return r;
	channel = object_get(state.channels, h);
	if (!channel)
		return -ESTALE;
	spin_unshared(channel_slot); /* nobody else knows it yet */
	channel->handle = h;
	r = allocate(attr, channel);
	if (r < 0) {
		destroy(channel);
		return r;
	}
	for (unsigned i = 0; i < 2; i++) {
		side[i] = (struct channel_end){
			.channel = h.slot, .end = END_MAKE(i, 0, 0), .generation = h.generation};
		r = channel_reconnect(side[i], attr->owner, &side[i]);
		if (r < 0 && i == 0)
			destroy(channel);
		else if (r < 0)
			(void)channel_close(side[0]);
		if (r < 0)
			return r;
	}
	*ret_send = side[SENDING];
	*ret_receive = side[RECEIVING];
	return 0;
}

int channel_info(struct channel_end end, struct channel_info *ret_info)
{
	struct channel *channel = channel_lock(end);

	if (!channel)
		return -ESTALE;
	*ret_info = (struct channel_info){
		.kind = channel->kind,
		.bytes = channel->ring.bytes,
		.capacity = channel->capacity,
		.queued = channel->ring.count,
		.senders = channel->n_ends[SENDING],
		.receivers = channel->n_ends[RECEIVING],
		.waiting = channel->n_links,
	};
	channel_unlock(channel);
	return 0;
}

/* ---- what ends with its task ---- */

static void end_dropped(struct handle h, void *object)
{
	struct channel_end end;
	struct handle token;

	(void)h;
	memcpy(&end, object, sizeof(end));
	(void)close_end(end, &token);
}
CELL_PROVIDE(object_ops, channel_end) = {.drop = end_dropped};

static void record_dropped(struct handle h, void *object)
{
	(void)h;
	record_abandon(object);
}
CELL_PROVIDE(object_ops, channel_record) = {.drop = record_dropped};

static int type(const char *name, size_t bytes, struct object_ops_h ops, struct heap_type *ret_type)
{
	int r = heap_type_create(CELL_SELF, name, bytes, ops, ret_type);

	return r == -EEXIST ? heap_type_find(CELL_SELF, name, ret_type) : r;
}

static int init(const struct cell_boot *boot)
{
	int r;

	(void)boot;
	r = type("channel", sizeof(struct channel), OBJECT_NO_OPS, &state.channels);
	if (r >= 0)
		r = type("channel end", sizeof(struct channel_end), IFACE(object_ops, channel_end),
			 &state.ends);
	if (r >= 0)
		r = type("channel wait", sizeof(struct record), IFACE(object_ops, channel_record),
			 &state.records);
	return r;
}
CELL_PROVIDE(cell_ops, channel) = {.init = init};
