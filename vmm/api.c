/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api-state.h"
#include "metrics.h"

uint64_t api_now(struct api *api)
{
	return api->owner.now(api->owner.ctx);
}

void api_log(struct api *api, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	api->owner.log(api->owner.ctx, text);
}

/* ---- clients ---- */

/* Typed bytes are kept, a whole frame or none, until the guest has room. */
static bool console_input(struct api *api, struct client *c, const struct frame *f)
{
	if (!c->console || api->state == API_ENDED)
		return true;
	if (bytes_append(&api->console_in, f->payload, f->header.length) < 0)
		return false;
	api_pump_console(api);
	return true;
}

static bool on_frame(struct client *c, const struct frame *f)
{
	struct api *api = c->owner;

	switch (f->header.type) {
	case FRAME_REQUEST:
		return session_request(api, c, f);
	case FRAME_VM_REQUEST:
		return vmrequest(api, c, f);
	case FRAME_CONSOLE:
		return console_input(api, c, f);
	default:
		metrics_add(METRIC_FRAMES_UNEXPECTED, 1);
		return true;
	}
}

static void on_gone(struct client *c, const char *why)
{
	struct api *api = c->owner;
	struct client **at = &api->clients;

	(void)why;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	api->n_clients--;
	vmrequest_client_gone(api, c);
	session_client_gone(api, c);
}

static uint64_t on_now(struct client *c)
{
	return api_now(c->owner);
}

static void on_half_frame(struct client *c)
{
	api_schedule(c->owner);
}

static const struct client_ops client_ops = {
	.frame = on_frame,
	.gone = on_gone,
	.half_frame = on_half_frame,
	.now = on_now,
};

int api_add_client(struct api *api, int fd)
{
	struct client *c;
	int r;

	if (api->n_clients >= API_CLIENTS_MAX || api->state == API_ENDED) {
		metrics_add(METRIC_CLIENTS_REFUSED, 1);
		(void)close(fd);
		return -EBUSY;
	}
	r = client_new(api->loop, fd, &client_ops, api, &c);
	if (r < 0)
		return r;
	metrics_add(METRIC_CLIENTS, 1);
	c->next = api->clients;
	api->clients = c;
	api->n_clients++;
	return 0;
}

/* Puts @c behind all others, so that a busy client does not always get the room first. */
static void to_the_end(struct api *api, struct client *c)
{
	struct client **at = &api->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	while (*at)
		at = &(*at)->next;
	*at = c;
	c->next = NULL;
}

void api_resume_clients(struct api *api)
{
	for (unsigned int n = api->n_clients; n; n--) {
		struct client *c = api->clients;

		while (c && !c->parked)
			c = c->next;
		if (!c)
			return;
		to_the_end(api, c);
		client_resume(c);
	}
	api_schedule(api);
}

void api_pump_console(struct api *api)
{
	while (api->console_in.used) {
		size_t n = api->owner.send(api->owner.ctx, GUEST_PORT_CONSOLE,
					   bytes_peek(&api->console_in), api->console_in.used);
		bool all = n == api->console_in.used;

		metrics_add(METRIC_CONSOLE_BYTES_IN, n);
		bytes_drop(&api->console_in, n);
		if (!all)
			return;
	}
}

/* ---- connections ---- */

static bool peer_allowed(struct api *api, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == api->uid)
		return true;
	metrics_add(METRIC_CLIENTS_REFUSED, 1);
	api_log(api, "refused a connection of user %u", peer.uid);
	return false;
}

static void on_connection(uv_poll_t *p, int status, int events)
{
	struct api *api = p->data;
	int fd;

	(void)events;
	if (status < 0)
		return;
	while ((fd = accept4(api->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (!peer_allowed(api, fd))
			(void)close(fd);
		else if (api_add_client(api, fd) == -EBUSY)
			api_log(api, "refused a connection: there are %u already", api->n_clients);
	}
}

int api_listen(struct api *api, int fd, uid_t uid)
{
	int r = uv_poll_init(api->loop, &api->listener, fd);

	if (r < 0)
		return r;
	api->listen_fd = fd;
	api->uid = uid;
	api->listener.data = api;
	api->listening = true;
	return uv_poll_start(&api->listener, UV_READABLE, on_connection);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct api *api = h->data;

	(void)close(api->listen_fd);
}

static void stop_listening(struct api *api)
{
	if (api->listening)
		uv_close((uv_handle_t *)&api->listener, on_listener_closed);
	api->listening = false;
}

/* ---- time ---- */

static void on_timer(uv_timer_t *t)
{
	api_expire(t->data);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(struct api *api)
{
	uint64_t at = api->state == API_ENDED ? api->close_at : UINT64_MAX;

	for (struct client *c = api->clients; c; c = c->next)
		if (c->partial_since)
			at = earlier(at, c->partial_since + api->config.half_frame_ns);
	for (size_t i = 0; i < WAITERS_MAX; i++)
		if (api->waiters[i].client || api->waiters[i].own_stop)
			at = earlier(at, api->waiters[i].deadline);
	return at;
}

void api_schedule(struct api *api)
{
	uint64_t at = next_deadline(api), now = api_now(api);

	if (api->closed)
		return;
	if (at == UINT64_MAX)
		(void)uv_timer_stop(&api->timer);
	else
		(void)uv_timer_start(&api->timer, on_timer,
				     at > now ? (at - now + 999999) / 1000000 : 0, 0);
}

static void drop_half_frames(struct api *api)
{
	uint64_t now = api_now(api);
	struct client *next;

	for (struct client *c = api->clients; c; c = next) {
		next = c->next;
		if (!c->partial_since || now - c->partial_since < api->config.half_frame_ns)
			continue;
		metrics_add(METRIC_CLIENTS_DROPPED, 1);
		api_log(api, "dropped a connection: half a frame and then nothing for %llu ms",
			(unsigned long long)(now - c->partial_since) / 1000000);
		client_drop(c, "half a frame and then nothing");
	}
}

void api_expire(struct api *api)
{
	drop_half_frames(api);
	if (api->state == API_ENDED && api_now(api) >= api->close_at)
		api_close(api);
	else
		vmrequest_check_waiters(api);
}

/* ---- the machine ---- */

static size_t link_send(void *ctx, const void *data, size_t len)
{
	struct api *api = ctx;

	return api->owner.send(api->owner.ctx, GUEST_PORT_CONTROL, data, len);
}

static void link_frame(void *ctx, const struct frame *f)
{
	session_from_guest(ctx, f);
}

void api_received(struct api *api, enum guest_port port, const uint8_t *data, size_t len)
{
	if (port == GUEST_PORT_CONTROL) {
		link_received(&api->link, data, len);
		return;
	}
	metrics_add(METRIC_CONSOLE_BYTES_OUT, len);
	session_console(api, data, len);
}

void api_writable(struct api *api, enum guest_port port)
{
	if (port == GUEST_PORT_CONTROL)
		session_pump(api);
	else
		api_pump_console(api);
	api_resume_clients(api);
}

void api_opened(struct api *api, enum guest_port port, bool open)
{
	if (port == GUEST_PORT_CONTROL)
		hello_guest_opened(api, open);
	else if (open)
		api_pump_console(api);
	if (open)
		api_resume_clients(api);
}

void api_ended(struct api *api, const struct machine_end *end, unsigned int limit_ms)
{
	struct client *next;

	api->end = *end;
	api->state = API_ENDED;
	api->close_at = api_now(api) + limit_ms * 1000000ull;
	stop_listening(api);
	session_lost(api);
	vmrequest_check_waiters(api);
	for (struct client *c = api->clients; c; c = next) {
		next = c->next;
		client_finish(c);
	}
	if (!api->clients)
		api_close(api);
	else
		api_schedule(api);
}

void api_shut_down(struct api *api)
{
	if (api->state == API_ENDED)
		return;
	if (hello_shut_down(api) < 0)
		api->owner.stop(api->owner.ctx);
	else
		vmrequest_own_stop(api);
}

/* ---- life ---- */

static const struct link_ops link_ops = {link_send, link_frame};

int api_new(uv_loop_t *loop, const struct api_config *config, const struct api_owner *owner,
	    struct api **ret_api)
{
	struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	r = uv_timer_init(loop, &api->timer);
	if (r < 0) {
		free(api);
		return r;
	}
	api->timer.data = api;
	api->loop = loop;
	api->config = *config;
	api->owner = *owner;
	api->listen_fd = -1;
	api->last_session = OWN_SESSION;
	api->console_in = BYTES_INIT(CONSOLE_IN_MAX);
	link_init(&api->link, &link_ops, api);
	*ret_api = api;
	return 0;
}

void api_close(struct api *api)
{
	if (api->closed)
		return;
	stop_listening(api);
	while (api->clients)
		client_drop(api->clients, "theseus-vmm ends");
	uv_close((uv_handle_t *)&api->timer, NULL);
	api->closed = true;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	link_deinit(&api->link);
	bytes_clear(&api->console_in);
	free(api);
}
