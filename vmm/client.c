/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics.h"

static void on_poll(uv_poll_t *p, int status, int events);

static void on_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	(void)close(c->fd);
	bytes_clear(&c->rest);
	bytes_clear(&c->out);
	free(c);
}

/* What the loop shall watch for: always the peer's going away, the rest as needed. */
static void watch(struct client *c)
{
	int events = UV_DISCONNECT;

	if (c->closing)
		return;
	if (!c->parked && !c->finishing)
		events |= UV_READABLE;
	if (c->out.used)
		events |= UV_WRITABLE;
	(void)uv_poll_start(&c->poll, events, on_poll);
}

int client_new(uv_loop_t *loop, int fd, const struct client_ops *ops, void *owner,
	       struct client **ret_client)
{
	struct client *c = malloc(sizeof(*c));
	int r;

	if (!c) {
		(void)close(fd);
		return -ENOMEM;
	}
	memset(c, 0, offsetof(struct client, decoder));
	frame_decoder_init(&c->decoder);
	c->ops = ops;
	c->owner = owner;
	c->fd = fd;
	c->rest = BYTES_INIT(CLIENT_PIECE);
	c->out = BYTES_INIT(CLIENT_OUT_MAX);
	r = uv_poll_init(loop, &c->poll, fd);
	if (r < 0) {
		(void)close(fd);
		free(c);
		return r;
	}
	c->poll.data = c;
	watch(c);
	*ret_client = c;
	return 0;
}

void client_drop(struct client *c, const char *why)
{
	if (c->closing)
		return;
	c->closing = true;
	c->ops->gone(c, why);
	uv_close((uv_handle_t *)&c->poll, on_closed);
}

static void write_out(struct client *c)
{
	while (c->out.used && !c->closing) {
		ssize_t n = send(c->fd, bytes_peek(&c->out), c->out.used, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			client_drop(c, "the connection broke");
		if (n <= 0)
			break;
		bytes_drop(&c->out, (size_t)n);
	}
	if (c->finishing && !c->out.used)
		client_drop(c, "done");
}

void client_finish(struct client *c)
{
	c->finishing = true;
	write_out(c);
	watch(c);
}

static int queue(struct client *c, const struct frame_header *h, const void *payload)
{
	uint8_t header[FRAME_HEADER_SIZE];
	int r = frame_encode_header(h, payload, header);

	if (r < 0)
		return r;
	if (sizeof(header) + h->length > bytes_free(&c->out))
		return -ENOBUFS;
	r = bytes_append(&c->out, header, sizeof(header));
	return r < 0 ? r : bytes_append(&c->out, payload, h->length);
}

void client_send(struct client *c, const struct frame_header *h, const void *payload)
{
	if (c->closing)
		return;
	if (queue(c, h, payload) < 0) {
		metrics_add(METRIC_CLIENTS_DROPPED, 1);
		client_drop(c, "it does not read its answers");
		return;
	}
	write_out(c);
	watch(c);
}

bool client_send_stream(struct client *c, const struct frame_header *h, const void *payload)
{
	if (c->closing || c->finishing)
		return true;
	if (c->out.used + FRAME_HEADER_SIZE + h->length > CLIENT_STREAM_MAX)
		return false;
	client_send(c, h, payload);
	return true;
}

/* A frame has to be whole some time after its first byte; each new frame starts afresh. */
static void note_partial(struct client *c, bool had_frame)
{
	uint64_t before = c->partial_since;

	if (c->parked || !frame_decoder_partial(&c->decoder))
		c->partial_since = 0;
	else if (had_frame || !c->partial_since)
		c->partial_since = c->ops->now(c);
	if (c->partial_since != before && !c->closing)
		c->ops->half_frame(c);
}

static void decode(struct client *c, const uint8_t *data, size_t len)
{
	uint64_t skipped = c->decoder.skipped;
	bool had_frame = false;
	struct frame f;
	size_t taken;

	while (!c->closing && frame_decode(&c->decoder, data, len, &taken, &f)) {
		data += taken;
		len -= taken;
		had_frame = true;
		if (c->ops->frame(c, &f)) {
			metrics_add(METRIC_CLIENT_FRAMES, 1);
			continue;
		}
		c->parked = true;
		c->parked_frame = f;
		if (bytes_append(&c->rest, data, len) < 0)
			client_drop(c, "out of memory");
		break;
	}
	metrics_add(METRIC_CLIENT_BYTES_SKIPPED, c->decoder.skipped - skipped);
	note_partial(c, had_frame);
}

void client_resume(struct client *c)
{
	struct bytes rest = c->rest;

	if (!c->parked || c->closing || c->finishing || !c->ops->frame(c, &c->parked_frame))
		return;
	metrics_add(METRIC_CLIENT_FRAMES, 1);
	c->parked = false;
	c->rest = BYTES_INIT(CLIENT_PIECE);
	decode(c, rest.used ? bytes_peek(&rest) : NULL, rest.used);
	bytes_clear(&rest);
	watch(c);
}

static void read_in(struct client *c)
{
	static uint8_t piece[CLIENT_PIECE];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n > 0)
		decode(c, piece, (size_t)n);
	else if (n == 0)
		client_drop(c, "closed by the peer");
	else if (errno != EAGAIN && errno != EINTR)
		client_drop(c, "the connection broke");
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct client *c = p->data;

	if (status < 0) {
		client_drop(c, "the connection broke");
		return;
	}
	if (events & UV_WRITABLE)
		write_out(c);
	if (!c->closing && events & UV_READABLE && !c->parked && !c->finishing)
		read_in(c);
	else if (!c->closing && events & UV_DISCONNECT && (c->parked || c->finishing))
		client_drop(c, "closed by the peer");
	watch(c);
}
