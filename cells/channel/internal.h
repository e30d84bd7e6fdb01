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

struct channel {
	struct handle handle;
	enum channel_kind kind;
	uint32_t capacity;
	struct ring ring; /* async: the queue. Else what came back from receivers that ended */
	uint32_t given;   /* messages given to receivers that have not looked yet */
	uint32_t n_ends[2];
	struct link *first[2], *last[2];
	uint32_t n_links;
	struct end_entry *ends;
	uint32_t ends_max, first_free; /* index + 1 */
};

/*
 * A lock for the channels of some slots, and the one of them that was used last, so that its
 * handle needs no look-up: generations are used once, so what is gone matches no end.
 */
struct channel_place {
	struct spinlock lock;
	uint32_t slot;
	uint64_t generation; /* 0 = none */
	struct channel *channel;
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
struct channel *channel_lock(struct channel_end end);
void channel_unlock(struct channel *channel);
/* The same for who has taken something away: frees it if nobody is left. */
void channel_unlock_free(struct channel *channel);
/* Under the lock. Result: 0, -ESTALE: @end is closed. */
int channel_check(const struct channel *channel, struct channel_end end);

/* ---- transfer.c: under the channel's lock ---- */
/* 0, -EPIPE, -EAGAIN = would wait. */
int transfer_send(struct channel *channel, const void *message);
int transfer_receive(struct channel *channel, void *message);
/* Brings senders and receivers that wait together, as far as that is possible. */
void transfer_serve(struct channel *channel);
void transfer_link(struct channel *channel, struct link *link);
void transfer_unlink(struct channel *channel, struct link *link);
/* Makes all that wait on @side look again; with @only, those at that end. */
void transfer_wake(struct channel *channel, enum side side, const struct channel_end *only);

/* ---- wait.c ---- */
/* Ends a wait from outside: the task unwinds or has ended. A message that it got goes back. */
void record_abandon(struct record *record);

#endif
