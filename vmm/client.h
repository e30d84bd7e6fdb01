/* SPDX-License-Identifier: MIT */
/*
 * One connection to the operator's socket: bytes in, frames out of them, answers back. Knows
 * nothing of what the frames mean.
 *
 * A frame that cannot be dealt with now is parked in the client and its socket is not read
 * on; client_resume() tries again. Loop thread only.
 */
#ifndef VMM_CLIENT_H
#define VMM_CLIENT_H

#include <stdbool.h>
#include <uv.h>

#include "bytes.h"
#include "frame.h"

#define CLIENT_OUT_MAX (1u << 20)      /* bytes of answers that a client has not read */
#define CLIENT_STREAM_MAX (256u << 10) /* beyond this much, events and console are dropped */
#define CLIENT_PIECE (16u << 10)       /* read at once */

struct client;

struct client_ops {
	/* A frame, borrowed. Result: false = cannot be taken now, offer it again. */
	bool (*frame)(struct client *c, const struct frame *f);
	/* The connection is over; the client is freed afterwards. Nothing may be sent. */
	void (*gone)(struct client *c, const char *why);
	/* partial_since has changed. */
	void (*half_frame)(struct client *c);
	uint64_t (*now)(struct client *c); /* ns, monotonic */
};

struct client {
	/* the owner's */
	struct client *next;
	void *owner;
	uint32_t session; /* towards the guest; 0 = none yet */
	unsigned int n_pending;
	bool console; /* gets what the guest writes to its console */

	/* the client's own */
	const struct client_ops *ops;
	int fd;
	uv_poll_t poll;
	bool closing, finishing, parked;
	struct frame parked_frame;
	struct bytes rest; /* read, but behind the parked frame */
	struct bytes out;
	uint64_t partial_since; /* when the half frame began, ns; 0 = there is none */
	struct frame_decoder decoder;
};

/* Takes over @fd, a connected non-blocking socket; closed on failure too. @ops borrowed. */
int client_new(uv_loop_t *loop, int fd, const struct client_ops *ops, void *owner,
	       struct client **ret_client) __attribute__((warn_unused_result));

/* Ends the connection now: gone() is called, then the client is freed by the loop. */
void client_drop(struct client *c, const char *why);

/* Ends it once everything queued has been written; nothing is read any more. */
void client_finish(struct client *c);

/* Sends a frame; a client that has not read CLIENT_OUT_MAX bytes is dropped. */
void client_send(struct client *c, const struct frame_header *h, const void *payload);

/* The same for a stream: beyond CLIENT_STREAM_MAX it is not sent. Result: whether it was. */
bool client_send_stream(struct client *c, const struct frame_header *h, const void *payload);

/* Offers the parked frame again, and goes on reading. */
void client_resume(struct client *c);

#endif
