/* SPDX-License-Identifier: MIT */
/*
 * Channels: fixed-size messages, copied in and copied out, from any number of senders to any
 * number of receivers.
 *
 * CHANNEL_RENDEZVOUS has no queue: a send returns when a receiver that waited was given the
 * message, or one came and took it. CHANNEL_ASYNC queues up to its capacity: a send returns
 * when the message is in the queue. Receivers and senders are served in the order they came.
 *
 * A message is in one place at any time: with its sender, in the channel, or with its receiver.
 *  - A send that returned 0 has left it in the channel or with a receiver; one that returned
 *    anything else has sent nothing. A kill or a deadline does not take back what was done before
 *    it: then the call returns 0.
 *  - It is received in the moment in which it is copied to a receiver's @message. A receiver that
 *    ends before that, by a kill, a fault (a bad @message is one) or the ledger, has taken nothing:
 *    what it was given goes back to the front, for the next one. One that ends after that has
 *    received it, whether or not its call returned: the memory behind @message says so.
 *  - A task that ends inside of a send is not told: its message is received once or never.
 * So what was sent is received exactly once, if there is somebody to receive it: what is in the
 * channel waits while receivers have no end left, and is gone when senders have none either.
 *
 * Ends are values that any task may use; each belongs to a cell and, if its owner says so, to
 * a task, and is closed when that task ends. When a side has no end left the other side gets
 * -EPIPE, receivers after what was still queued; until the side is connected again by
 * channel_reconnect(). When both sides have none, the channel and what is queued are gone.
 *
 * Deadlines are times of clock_now_ns(); CLOCK_NEVER waits for ever, 0 does not wait: then
 * -ETIMEDOUT. Context: tasks at mask depth 0, no spinlock held.
 */
#ifndef THESEUS_CHANNEL_H
#define THESEUS_CHANNEL_H

#include <theseus/heap.h>
#include <theseus/task.h>

enum channel_kind {
	CHANNEL_RENDEZVOUS = 1,
	CHANNEL_ASYNC,
};

#define CHANNEL_MESSAGE_MAX 256u   /* bytes */
#define CHANNEL_CAPACITY_MAX 4096u /* messages */
#define CHANNEL_ENDS_MAX 16384u    /* of a channel, both sides */
#define CHANNEL_CASES_MAX 16u      /* of a select */

/* One end of a channel, for sending or for receiving; a value. All zero is none. */
struct channel_end {
	uint32_t channel; /* slot of the channel's object */
	uint32_t end;
	uint64_t generation; /* of the channel's object */
};

struct channel_attr {
	enum channel_kind kind;
	uint32_t bytes;            /* of each message: 1..CHANNEL_MESSAGE_MAX */
	uint32_t capacity;         /* messages: async 1..CHANNEL_CAPACITY_MAX, rendezvous 0 */
	struct object_owner owner; /* of both ends; memory is accounted to its cell */
};

/* A channel with one end on each side. Result: 0, -ENOMEM, -EINVAL. */
int channel_create(const struct channel_attr *attr, struct channel_end *ret_send,
		   struct channel_end *ret_receive) MUST_USE;

/*
 * One more end on the side of @end, which may be closed already: for another task, or for a
 * peer that was restarted. Result: 0; -ESTALE: the channel is gone; -ENOMEM, -EINVAL (owner),
 * -ENOSPC (CHANNEL_ENDS_MAX).
 */
int channel_reconnect(struct channel_end end, struct object_owner owner,
		      struct channel_end *ret_end) MUST_USE;

/* The end belongs to @owner from now on. Result: 0, -ESTALE, -EINVAL, -ENOMEM. */
int channel_give(struct channel_end end, struct object_owner owner) MUST_USE;

/* Whoever waits at @end gets -ESTALE. Result: 0, -ESTALE. */
int channel_close(struct channel_end end);

/* Cleanup helper. */
static inline __attribute__((unused)) void channel_drop(const struct channel_end *end)
{
	if (end->generation)
		(void)channel_close(*end);
}

/*
 * Sends a copy of @message. Blocking export. Result: 0; -EPIPE: nobody can receive; -ESTALE:
 * @end is closed, -EINVAL: or for receiving; -ETIMEDOUT; -ECANCELED (killed); -ENOMEM.
 */
int channel_send(struct channel_end end, const void *message, uint64_t deadline_ns) MUST_USE;

/* Receives into @message. Results as channel_send(); -EPIPE: nobody can send. Blocking export. */
int channel_receive(struct channel_end end, void *message, uint64_t deadline_ns) MUST_USE;

struct channel_case {
	struct channel_end end; /* sends or receives, as the end does */
	void *message;
	int result; /* of the case that was done: 0, -EPIPE, -ESTALE */
};

/*
 * Does the one of @n cases that can be done first; of several that can, any, in turns.
 * Blocking export. Result: its index, with `result` set; -EINVAL (@n not in
 * 1..CHANNEL_CASES_MAX), -ETIMEDOUT, -ECANCELED, -ENOMEM: none was done.
 */
int channel_select(struct channel_case *cases, unsigned n, uint64_t deadline_ns) MUST_USE;

struct channel_info {
	enum channel_kind kind;
	uint32_t bytes, capacity;
	uint32_t queued;             /* messages */
	uint32_t senders, receivers; /* ends */
	uint32_t waiting;            /* operations that wait at either side */
};
/* Of the channel that @end is or was an end of. Result: 0, -ESTALE. */
int channel_info(struct channel_end end, struct channel_info *ret_info) MUST_USE;

#endif
