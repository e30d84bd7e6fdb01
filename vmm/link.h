/* SPDX-License-Identifier: MIT */
/*
 * The control link to the guest: frames towards it, one after the other and never mixed;
 * frames from it, decoded. The guest may close and reopen its end at any byte: a frame that
 * was half sent is then dropped, whole ones stay queued.
 *
 * Loop thread only.
 */
#ifndef VMM_LINK_H
#define VMM_LINK_H

#include <stdbool.h>

#include "bytes.h"
#include "frame.h"

#define LINK_QUEUE_MAX (256u << 10) /* bytes towards the guest, at least two whole frames */
#define LINK_URGENT_MAX (4u << 10)  /* for theseus-vmm's own */

struct link_ops {
	/* Hands bytes to the guest. Result: how many it had room for. */
	size_t (*send)(void *ctx, const void *data, size_t len);
	/* A frame from the guest, borrowed. */
	void (*frame)(void *ctx, const struct frame *f);
};

struct link {
	const struct link_ops *ops;
	void *ctx;
	struct bytes urgent, queue;
	struct bytes *current; /* of which a frame is half sent, else NULL */
	size_t current_left;   /* bytes of that frame */
	bool pumping;
	struct frame_decoder decoder;
};

/* @ops borrowed for good. */
void link_init(struct link *l, const struct link_ops *ops, void *ctx);
void link_deinit(struct link *l);

/*
 * Queues a frame; @payload (h->length bytes) is copied. Urgent ones go before all others.
 * Result: 0; -ENOBUFS when there is no room now, -EMSGSIZE, -EINVAL, -ENOMEM.
 */
int link_queue(struct link *l, const struct frame_header *h, const void *payload, bool urgent)
	__attribute__((warn_unused_result));

/* Hands over as much as the guest takes. */
void link_pump(struct link *l);

/* Bytes from the guest. */
void link_received(struct link *l, const void *data, size_t len);

/* The guest closed its end: the rest of a half sent frame would be garbage to it. */
void link_closed(struct link *l);

#endif
