/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api-state.h"
#include "metrics.h"

/* Answers @c's request @id as the agent would, with an error. */
static void refuse(struct client *c, uint64_t id, Theseus__Status status, const char *code,
		   const char *message)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__Error e = THESEUS__ERROR__INIT;
	struct frame_header h = {.type = FRAME_RESPONSE, .request_id = id};
	uint8_t payload[1024];
	char text[512], word[32];

	strncpy(text, message, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	strncpy(word, code, sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	e.code = word;
	e.message = text;
	r.status = status;
	r.error = &e;
	h.length = (uint32_t)theseus__response__pack(&r, payload);
	client_send(c, &h, payload);
}

static void refuse_lost(struct api *api, struct client *c, uint64_t id)
{
	metrics_add(METRIC_REQUESTS_LOST, 1);
	refuse(c, id, THESEUS__STATUS__STATUS_LOST, "guest-lost", api->end.text);
}

static struct pending *free_slot(struct api *api)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (!api->pending[i].client)
			return &api->pending[i];
	return NULL;
}

/* The id under which the guest sees a request: where it is kept, and which use of the place. */
static uint64_t guest_id(struct api *api, const struct pending *p)
{
	return (uint64_t)p->sequence << 16 | (uint64_t)(p - api->pending);
}

static struct pending *find_pending(struct api *api, uint64_t id)
{
	uint64_t slot = id & 0xffff; /* the guest chose the number */
	struct pending *p;

	if (slot >= PENDING_MAX)
		return NULL;
	p = &api->pending[slot];
	return p->client && guest_id(api, p) == id ? p : NULL;
}

static struct client *release(struct pending *p)
{
	struct client *c = p->client;

	c->n_pending--;
	p->client = NULL;
	p->sequence++;
	return c;
}

bool session_request(struct api *api, struct client *c, const struct frame *f)
{
	uint32_t session = c->session ? c->session : api->last_session + 1;
	struct pending *p = free_slot(api);
	struct frame_header h = f->header;
	int r;

	if (api->state == API_ENDED) {
		refuse_lost(api, c, f->header.request_id);
		return true;
	}
	if (!p || c->n_pending >= PENDING_CLIENT_MAX) {
		refuse(c, f->header.request_id, THESEUS__STATUS__STATUS_BUSY, "too-many-requests",
		       "too many requests are waiting for the guest; wait for their answers");
		return true;
	}
	h.session = session;
	h.request_id = guest_id(api, p);
	r = link_queue(&api->link, &h, f->payload, false);
	if (r == -ENOBUFS)
		return false;
	if (r < 0) {
		refuse(c, f->header.request_id, THESEUS__STATUS__STATUS_FAILED, "vmm-error",
		       strerror(-r));
		return true;
	}
	if (!c->session)
		api->last_session = session;
	c->session = session;
	c->n_pending++;
	p->client = c;
	p->client_id = f->header.request_id;
	link_pump(&api->link);
	return true;
}

static void response(struct api *api, const struct frame *f)
{
	struct frame_header h = {.type = FRAME_RESPONSE, .length = f->header.length};
	struct pending *p;

	if (f->header.request_id & OWN_REQUEST) {
		hello_response(api, f);
		return;
	}
	p = find_pending(api, f->header.request_id);
	if (!p) {
		metrics_add(METRIC_FRAMES_UNEXPECTED,
			    1); /* its client has gone, or it is made up */
		return;
	}
	h.request_id = p->client_id;
	client_send(release(p), &h, f->payload);
}

static void event(struct api *api, const struct frame *f)
{
	struct frame_header h = {.type = FRAME_EVENT, .length = f->header.length};
	struct client *next;

	for (struct client *c = api->clients; c; c = next) {
		next = c->next;
		if (f->header.session && f->header.session != c->session)
			continue;
		if (!client_send_stream(c, &h, f->payload))
			metrics_add(METRIC_EVENTS_LOST, 1);
	}
}

void session_from_guest(struct api *api, const struct frame *f)
{
	if (f->header.type == FRAME_RESPONSE)
		response(api, f);
	else if (f->header.type == FRAME_EVENT)
		event(api, f);
	else
		metrics_add(METRIC_FRAMES_UNEXPECTED, 1);
}

void session_pump(struct api *api)
{
	while (api->n_ended_sessions && api->state != API_ENDED) {
		struct frame_header h = {
			.type = FRAME_SESSION_END,
			.session = api->ended_sessions[api->n_ended_sessions - 1],
		};

		if (link_queue(&api->link, &h, NULL, false) < 0)
			break;
		api->n_ended_sessions--;
	}
	link_pump(&api->link);
}

void session_client_gone(struct api *api, struct client *c)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (api->pending[i].client == c)
			(void)release(&api->pending[i]);
	if (!c->session)
		return;
	/*
	 * There is room: a session begins only when a frame of it was queued, so while the
	 * queue is full no more sessions can end than there were clients.
	 */
	if (api->n_ended_sessions < API_CLIENTS_MAX)
		api->ended_sessions[api->n_ended_sessions++] = c->session;
	session_pump(api);
}

void session_lost(struct api *api)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &api->pending[i];
		uint64_t id = p->client_id;

		if (p->client)
			refuse_lost(api, release(p), id);
	}
}

void session_console(struct api *api, const uint8_t *data, size_t len)
{
	struct client *next;

	while (len) {
		struct frame_header h = {
			.type = FRAME_CONSOLE,
			.length = (uint32_t)(len < FRAME_PAYLOAD_MAX ? len : FRAME_PAYLOAD_MAX),
		};

		for (struct client *c = api->clients; c; c = next) {
			next = c->next;
			if (c->console && !client_send_stream(c, &h, data))
				metrics_add(METRIC_CONSOLE_BYTES_LOST, h.length);
		}
		data += h.length;
		len -= h.length;
	}
}
