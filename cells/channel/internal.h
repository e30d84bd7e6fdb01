/* SPDX-License-Identifier: MIT */
#ifndef CHANNEL_INTERNAL_H
#define CHANNEL_INTERNAL_H

#include <theseus/channel.h>

#include "ring.h"

enum side {
	SENDING = 0,
	RECEIVING = 1,
};

/*
 * channel_end.end: side in bit 0, index from bit 1, in bits 16.. the generation of the entry.
 */
static inline enum side end_side(struct channel_end end)
{
	return (enum side)(end.end & 1);
}
static inline uint32_t end_index(struct channel_end end)
{
	return end.end >> 1 & 0x7fff;
}
#define END_MAKE(side, index, generation)                                                          \
	((uint32_t)(side) | (uint32_t)(index) << 1 | (uint32_t)(generation) << 16)

struct end_entry {
	struct handle token; /* of the object by which the ledger finds it; 0 = free */
	uint32_t next_free;  /* index + 1 */
	uint16_t generation;
	uint8_t side;
};

/* One operation that waits at one channel; it lies in a record. */
struct link {
	struct link *next, *before;
	struct record *record;
	struct channel_end end;
	uint8_t *message; /* sending: the message */
	uint32_t index;   /* in the record */
	bool linked;
};

/*
 * What a task waits with: an object that it owns, made when it first waits and kept till it
 * ends. It outlives the code of this cell, so a call that a swap breaks off finds it again.
 *
 * `state` decides who ends the wait. It leaves RECORD_WAITING by one compare-and-swap: to
 * RECORD_DONE + index under the lock of that link's channel, together with the transfer; to
 * RECORD_AGAIN by who closes an end; to RECORD_CLOSED by the task. Transfers to a receiver go
 * into `message` under its channel's lock, and the task unlinks under that lock before it
 * looks.
 */
struct record {
	uint32_t state; /* atomic */
	uint32_t n;     /* links in use; 0: it does not wait */
	struct task_event event;
	const void *key; /* the call: its message or its cases */
	struct link *links;
	void *block; /* of a select: links, then messages; owned */
	struct link own;
	uint8_t message[CHANNEL_MESSAGE_MAX];
};
#define RECORD_WAITING 1u
#define RECORD_AGAIN 2u
#define RECORD_CLOSED 3u
#define RECORD_DONE 0x100u /* + index */

SPINLOCK_ROLE(channel_slot);

struct channel {
	struct handle handle;
	enum channel_kind kind GUARDED_BY(channel_slot);
	uint32_t capacity GUARDED_BY(channel_slot);
	/* async: the queue. Else what came back from receivers that ended */
	struct ring ring GUARDED_BY(channel_slot);
	/* messages given to receivers that have not looked yet */
	uint32_t given GUARDED_BY(channel_slot);
	uint32_t n_ends[2] GUARDED_BY(channel_slot);
	struct link *first[2] GUARDED_BY(channel_slot), *last[2] GUARDED_BY(channel_slot);
	uint32_t n_links GUARDED_BY(channel_slot);
	struct end_entry *ends GUARDED_BY(channel_slot);
	uint32_t ends_max GUARDED_BY(channel_slot);
	uint32_t first_free GUARDED_BY(channel_slot); /* index + 1 */
};

/*
 * A lock for the channels of some slots, and the one of them that was used last, so that its
 * handle needs no look-up: generations are used once, so what is gone matches no end.
 */
struct channel_place {
	struct spinlock lock; /* channel_slot */
	uint32_t slot GUARDED_BY(channel_slot);
	uint64_t generation GUARDED_BY(channel_slot); /* 0 = none */
	struct channel *channel GUARDED_BY(channel_slot);
} __attribute__((aligned(64)));

#define PLACES 64u
struct channel_state {
	struct heap_type channels, ends, records;
	uint32_t turn;                       /* of selects, atomic */
	struct channel_place places[PLACES]; /* channels by slot */
};
struct channel_state *channel_state(void);

/* ---- channel.c ---- */
/* The channel with its lock held; NULL: it is gone, no lock is held. */
struct channel *channel_lock(struct channel_end end) TRY_ACQUIRES(true, channel_slot);
void channel_unlock(struct channel *channel) RELEASES(channel_slot);
/* The same for who has taken something away: frees it if nobody is left. */
void channel_unlock_free(struct channel *channel) RELEASES(channel_slot);
/* Under the lock. Result: 0, -ESTALE: @end is closed. */
int channel_check(const struct channel *channel, struct channel_end end) REQUIRES(channel_slot);

/* ---- transfer.c: under the channel's lock ---- */
/* 0, -EPIPE, -EAGAIN = would wait. */
int transfer_send(struct channel *channel, const void *message) REQUIRES(channel_slot);
int transfer_receive(struct channel *channel, void *message) REQUIRES(channel_slot);
/* Brings senders and receivers that wait together, as far as that is possible. */
void transfer_serve(struct channel *channel) REQUIRES(channel_slot);
void transfer_link(struct channel *channel, struct link *link) REQUIRES(channel_slot);
void transfer_unlink(struct channel *channel, struct link *link) REQUIRES(channel_slot);
/* Makes all that wait on @side look again; with @only, those at that end. */
void transfer_wake(struct channel *channel, enum side side, const struct channel_end *only)
	REQUIRES(channel_slot);

/* ---- wait.c ---- */
/* Ends a wait from outside: the task unwinds or has ended. A message that it got goes back. */
void record_abandon(struct record *record);

#endif
