/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <string.h>

#include "metrics.h"

#define OFFSET_LENGTH 8u /* in a frame's header, see frame.h */

void link_init(struct link *l, const struct link_ops *ops, void *ctx)
{
	l->ops = ops;
	l->ctx = ctx;
	l->urgent = BYTES_INIT(LINK_URGENT_MAX);
	l->queue = BYTES_INIT(LINK_QUEUE_MAX);
	l->current = NULL;
	l->current_left = 0;
	l->pumping = false;
	frame_decoder_init(&l->decoder);
}

void link_deinit(struct link *l)
{
	bytes_clear(&l->urgent);
	bytes_clear(&l->queue);
}

int link_queue(struct link *l, const struct frame_header *h, const void *payload, bool urgent)
{
	struct bytes *b = urgent ? &l->urgent : &l->queue;
	uint8_t header[FRAME_HEADER_SIZE];
	int r = frame_encode_header(h, payload, header);

	if (r < 0)
		return r;
	if (sizeof(header) + h->length > bytes_free(b))
		return -ENOBUFS;
	r = bytes_append(b, header, sizeof(header));
	if (r < 0)
		return r;
	r = bytes_append(b, payload, h->length);
	if (r < 0)
		b->used -= sizeof(header); /* it was the newest */
	else
		metrics_add(METRIC_FRAMES_TO_GUEST, 1);
	return r;
}

/* Starts the next frame. Result: whether there is one. */
static bool choose(struct link *l)
{
	uint32_t length;

	if (l->current)
		return true;
	l->current = l->urgent.used ? &l->urgent : l->queue.used ? &l->queue : NULL;
	if (!l->current)
		return false;
	memcpy(&length, bytes_peek(l->current) + OFFSET_LENGTH, sizeof(length));
	l->current_left = FRAME_HEADER_SIZE + length;
	return true;
}

static void sent(struct link *l, size_t n)
{
	metrics_add(METRIC_CONTROL_BYTES_IN, n);
	bytes_drop(l->current, n);
	l->current_left -= n;
	if (!l->current_left)
		l->current = NULL;
}

void link_pump(struct link *l)
{
	if (l->pumping)
		return;
	l->pumping = true;
	while (choose(l)) {
		size_t want = l->current_left;
		size_t n = l->ops->send(l->ctx, bytes_peek(l->current), want);

		if (n)
			sent(l, n);
		if (n < want)
			break;
	}
	l->pumping = false;
}

void link_received(struct link *l, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint64_t skipped = l->decoder.skipped;
	struct frame f;
	size_t taken;

	metrics_add(METRIC_CONTROL_BYTES_OUT, len);
	while (frame_decode(&l->decoder, bytes, len, &taken, &f)) {
		bytes += taken;
		len -= taken;
		metrics_add(METRIC_FRAMES_FROM_GUEST, 1);
		l->ops->frame(l->ctx, &f);
	}
	metrics_add(METRIC_GUEST_BYTES_SKIPPED, l->decoder.skipped - skipped);
}

void link_closed(struct link *l)
{
	if (l->current)
		bytes_drop(l->current, l->current_left);
	l->current = NULL;
	l->current_left = 0;
}
