/* SPDX-License-Identifier: MIT */
/* api.c, client.c, session.c, vmrequest.c, hello.c: clients are socket pairs, the guest is us. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api-state.h"
#include "cm.h"
#include "metrics.h"

#define SECOND 1000000000ull

static uv_loop_t loop;
static struct api *api;
static uint64_t now;
static size_t guest_room;
static struct frame_decoder to_guest;
static uint8_t guest_bytes[1u << 20];
static size_t guest_used, guest_read;
static uint8_t console_bytes[1u << 16];
static size_t console_used;
static unsigned int stops, readies;
static char last_log[512];

/* ---- the owner ---- */

static size_t owner_send(void *ctx, enum guest_port port, const void *data, size_t len)
{
	size_t n = len < guest_room ? len : guest_room;

	(void)ctx;
	if (port == GUEST_PORT_CONTROL) {
		memcpy(guest_bytes + guest_used, data, n);
		guest_used += n;
	} else {
		memcpy(console_bytes + console_used, data, n);
		console_used += n;
	}
	guest_room -= n;
	return n;
}

static void owner_stop(void *ctx)
{
	(void)ctx;
	stops++;
}

static void owner_ready(void *ctx, uint64_t at)
{
	(void)ctx;
	(void)at;
	readies++;
}

static void owner_log(void *ctx, const char *text)
{
	(void)ctx;
	(void)snprintf(last_log, sizeof(last_log), "%s", text);
}

static uint64_t owner_resident(void *ctx)
{
	(void)ctx;
	return 4711;
}

static uint64_t owner_now(void *ctx)
{
	(void)ctx;
	return now;
}

static int set_up(void **state)
{
	static const struct api_owner owner = {
		.send = owner_send,
		.stop = owner_stop,
		.ready = owner_ready,
		.log = owner_log,
		.resident = owner_resident,
		.now = owner_now,
	};
	static const struct api_config config = {
		.name = "test",
		.accel = "kvm",
		.accel_reason = "because",
		.log_path = "/log",
		.cpus = 3,
		.memory = 64 << 20,
		.half_frame_ns = 10 * SECOND,
	};

	(void)state;
	now = 1000 * SECOND;
	guest_room = sizeof(guest_bytes);
	guest_used = guest_read = console_used = 0;
	stops = readies = 0;
	last_log[0] = '\0';
	frame_decoder_init(&to_guest);
	return uv_loop_init(&loop) || api_new(&loop, &config, &owner, &api);
}

static int tear_down(void **state)
{
	(void)state;
	api_close(api);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	api_free(api);
	return uv_loop_close(&loop);
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* ---- the guest ---- */

/* The next frame that went to the guest. Result: false if there is none. */
static bool guest_frame(struct frame *f)
{
	size_t taken;
	bool found = frame_decode(&to_guest, guest_bytes + guest_read, guest_used - guest_read,
				  &taken, f);

	guest_read += taken;
	return found;
}

static void guest_says(enum frame_type type, uint32_t session, uint64_t id, const void *payload,
		       size_t len)
{
	const struct frame_header h = {
		.type = type, .length = (uint32_t)len, .session = session, .request_id = id};
	uint8_t header[FRAME_HEADER_SIZE];

	assert_int_equal(frame_encode_header(&h, payload, header), 0);
	api_received(api, GUEST_PORT_CONTROL, header, sizeof(header));
	if (len)
		api_received(api, GUEST_PORT_CONTROL, payload, len);
}

static void guest_answers(uint64_t id, const Theseus__Response *r)
{
	uint8_t payload[1024];

	guest_says(FRAME_RESPONSE, OWN_SESSION, id, payload, theseus__response__pack(r, payload));
}

/* The guest opens its end and answers Hello. */
static void become_ready(void)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__HelloReply hello = THESEUS__HELLO_REPLY__INIT;
	char build_id[] = "abc123";
	struct frame f;

	api_opened(api, GUEST_PORT_CONTROL, true);
	assert_true(guest_frame(&f));
	assert_int_equal(f.header.type, FRAME_REQUEST);
	assert_int_equal(f.header.session, OWN_SESSION);
	hello.build_id = build_id;
	r.body_case = THESEUS__RESPONSE__BODY_HELLO;
	r.hello = &hello;
	guest_answers(f.header.request_id, &r);
	assert_int_equal(readies, 1);
}

/* ---- a client ---- */

struct peer {
	int fd;
	struct frame_decoder decoder;
	uint8_t bytes[1u << 17];
	size_t used, read;
};

static struct peer *connect_peer(void)
{
	struct peer *p = malloc(sizeof(*p));
	int pair[2];

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	p->fd = pair[0];
	p->used = p->read = 0;
	frame_decoder_init(&p->decoder);
	assert_int_equal(api_add_client(api, pair[1]), 0);
	return p;
}

static void peer_close(struct peer *p)
{
	(void)close(p->fd);
	free(p);
	turn();
}

static void peer_send(struct peer *p, enum frame_type type, uint64_t id, const void *payload,
		      size_t len)
{
	const struct frame_header h = {.type = type, .length = (uint32_t)len, .request_id = id};
	uint8_t header[FRAME_HEADER_SIZE];

	assert_int_equal(frame_encode_header(&h, payload, header), 0);
	assert_int_equal(send(p->fd, header, sizeof(header), 0), sizeof(header));
	if (len)
		assert_int_equal(send(p->fd, payload, len, 0), len);
	turn();
}

static void peer_request(struct peer *p, enum frame_type type, uint64_t id, const void *message)
{
	uint8_t payload[1024];

	peer_send(p, type, id, payload, protobuf_c_message_pack(message, payload));
}

static bool peer_frame(struct peer *p, struct frame *f)
{
	size_t taken;
	ssize_t n;
	bool found;

	turn();
	n = recv(p->fd, p->bytes + p->used, sizeof(p->bytes) - p->used, 0);
	if (n > 0)
		p->used += (size_t)n;
	found = frame_decode(&p->decoder, p->bytes + p->read, p->used - p->read, &taken, f);
	p->read += taken;
	return found;
}

static bool peer_closed(struct peer *p)
{
	uint8_t byte;

	turn();
	return recv(p->fd, &byte, 1, 0) == 0;
}

static Theseus__VmResponse *peer_vm_answer(struct peer *p, uint64_t id)
{
	Theseus__VmResponse *r;
	struct frame f;

	assert_true(peer_frame(p, &f));
	assert_int_equal(f.header.type, FRAME_VM_RESPONSE);
	assert_int_equal(f.header.request_id, id);
	r = theseus__vm_response__unpack(NULL, f.header.length, f.payload);
	assert_non_null(r);
	return r;
}

static void peer_vm_expect(struct peer *p, uint64_t id, Theseus__Status status, const char *code)
{
	Theseus__VmResponse *r = peer_vm_answer(p, id);

	assert_int_equal(r->status, status);
	if (code)
		assert_string_equal(r->error->code, code);
	theseus__vm_response__free_unpacked(r, NULL);
}

static void peer_guest_expect(struct peer *p, uint64_t id, Theseus__Status status, const char *code)
{
	Theseus__Response *r;
	struct frame f;

	assert_true(peer_frame(p, &f));
	assert_int_equal(f.header.type, FRAME_RESPONSE);
	assert_int_equal(f.header.request_id, id);
	r = theseus__response__unpack(NULL, f.header.length, f.payload);
	assert_non_null(r);
	assert_int_equal(r->status, status);
	assert_string_equal(r->error->code, code);
	theseus__response__free_unpacked(r, NULL);
}

static void ask_wait(struct peer *p, uint64_t id, bool ready, uint64_t limit)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmWait wait = THESEUS__VM_WAIT__INIT;

	wait.ready = ready;
	wait.time_limit_ns = limit;
	q.body_case = THESEUS__VM_REQUEST__BODY_WAIT;
	q.wait = &wait;
	peer_request(p, FRAME_VM_REQUEST, id, &q);
}

static void ask_stop(struct peer *p, uint64_t id, bool force, uint64_t limit)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStop stop = THESEUS__VM_STOP__INIT;

	stop.force = force;
	stop.time_limit_ns = limit;
	q.body_case = THESEUS__VM_REQUEST__BODY_STOP;
	q.stop = &stop;
	peer_request(p, FRAME_VM_REQUEST, id, &q);
}

static void end_guest(void)
{
	const struct machine_end end = {END_CODE, 0x10, "the guest powered off"};

	api_ended(api, &end, 2000);
}

/* ---- sessions ---- */

static void test_mux(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	uint64_t id_a, id_b;
	uint32_t session_a, session_b;
	struct frame f;

	(void)state;
	become_ready();
	peer_send(a, FRAME_REQUEST, 7, "A", 1);
	peer_send(b, FRAME_REQUEST, 7, "B", 1);
	assert_true(guest_frame(&f));
	assert_memory_equal(f.payload, "A", 1);
	id_a = f.header.request_id;
	session_a = f.header.session;
	assert_true(guest_frame(&f));
	assert_memory_equal(f.payload, "B", 1);
	id_b = f.header.request_id;
	session_b = f.header.session;
	assert_true(id_a != id_b && session_a != session_b);
	assert_true(session_a > OWN_SESSION && session_b > OWN_SESSION);
	/* answered out of order, each to its own */
	guest_says(FRAME_RESPONSE, session_b, id_b, "for B", 5);
	guest_says(FRAME_RESPONSE, session_a, id_a, "for A", 5);
	assert_true(peer_frame(a, &f));
	assert_memory_equal(f.payload, "for A", 5);
	assert_int_equal(f.header.request_id, 7);
	assert_int_equal(f.header.session, 0);
	assert_true(peer_frame(b, &f));
	assert_memory_equal(f.payload, "for B", 5);
	assert_false(peer_frame(b, &f));
	peer_close(a);
	peer_close(b);
}

static void test_events(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	uint32_t session;
	struct frame f;

	(void)state;
	become_ready();
	peer_send(a, FRAME_REQUEST, 1, "x", 1);
	assert_true(guest_frame(&f));
	session = f.header.session;
	guest_says(FRAME_EVENT, 0, 0, "all", 3);
	guest_says(FRAME_EVENT, session, 0, "one", 3);
	guest_says(FRAME_EVENT, 9999, 0, "none", 4);
	assert_true(peer_frame(a, &f));
	assert_memory_equal(f.payload, "all", 3);
	assert_true(peer_frame(a, &f));
	assert_memory_equal(f.payload, "one", 3);
	assert_true(peer_frame(b, &f));
	assert_int_equal(f.header.type, FRAME_EVENT);
	assert_false(peer_frame(b, &f));
	peer_close(a);
	peer_close(b);
}

/* The guest is told; the answer that still comes is nobody's, and a second one too. */
static void test_client_vanishes(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	uint64_t unexpected, id;
	uint32_t session;
	struct frame f;

	(void)state;
	become_ready();
	unexpected = metrics_get(METRIC_FRAMES_UNEXPECTED);
	peer_send(a, FRAME_REQUEST, 1, "x", 1);
	assert_true(guest_frame(&f));
	id = f.header.request_id;
	session = f.header.session;
	peer_close(a);
	assert_true(guest_frame(&f));
	assert_int_equal(f.header.type, FRAME_SESSION_END);
	assert_int_equal(f.header.session, session);
	peer_send(b, FRAME_REQUEST, 1, "y", 1);
	assert_true(guest_frame(&f));
	guest_says(FRAME_RESPONSE, session, id, "late", 4);
	assert_int_equal(metrics_get(METRIC_FRAMES_UNEXPECTED), unexpected + 1);
	guest_says(FRAME_RESPONSE, f.header.session, f.header.request_id, "ok", 2);
	guest_says(FRAME_RESPONSE, f.header.session, f.header.request_id, "twice", 5);
	guest_says(FRAME_RESPONSE, 2, UINT64_MAX, "made up", 7);
	guest_says(FRAME_RESPONSE, 2, 600, "made up", 7);
	guest_says(FRAME_REQUEST, 2, 1, "not the guest's to send", 23);
	assert_int_equal(metrics_get(METRIC_FRAMES_UNEXPECTED), unexpected + 5);
	assert_true(peer_frame(b, &f));
	assert_memory_equal(f.payload, "ok", 2);
	assert_false(peer_frame(b, &f));
	peer_close(b);
}

static void test_guest_lost(void **state)
{
	struct peer *a = connect_peer();
	struct frame f;

	(void)state;
	become_ready();
	peer_send(a, FRAME_REQUEST, 5, "x", 1);
	end_guest();
	peer_guest_expect(a, 5, THESEUS__STATUS__STATUS_LOST, "guest-lost");
	assert_false(peer_frame(a, &f));
	assert_true(peer_closed(a));
	peer_close(a);
}

static void test_too_many_requests(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	become_ready();
	for (unsigned int i = 0; i < PENDING_CLIENT_MAX; i++)
		peer_send(a, FRAME_REQUEST, i, "x", 1);
	peer_send(a, FRAME_REQUEST, 1000, "x", 1);
	peer_guest_expect(a, 1000, THESEUS__STATUS__STATUS_BUSY, "too-many-requests");
	peer_close(a);
}

static void test_too_many_clients(void **state)
{
	struct peer *p[API_CLIENTS_MAX];
	int pair[2];

	(void)state;
	for (unsigned int i = 0; i < API_CLIENTS_MAX; i++)
		p[i] = connect_peer();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(api_add_client(api, pair[0]), -EBUSY);
	(void)close(pair[1]);
	peer_close(p[0]);
	p[0] = connect_peer();
	for (unsigned int i = 0; i < API_CLIENTS_MAX; i++)
		peer_close(p[i]);
}

/* ---- flow control ---- */

/* A guest that takes nothing: the client is stopped, others still reach theseus-vmm. */
static void test_guest_does_not_read(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	static uint8_t big[FRAME_PAYLOAD_MAX];
	unsigned int n = 0;
	struct frame f;

	(void)state;
	become_ready();
	guest_room = 0;
	for (unsigned int i = 0; i < 5; i++) {
		struct frame_header h = {
			.type = FRAME_REQUEST, .length = sizeof(big), .request_id = i};
		uint8_t header[FRAME_HEADER_SIZE];

		assert_int_equal(frame_encode_header(&h, big, header), 0);
		assert_int_equal(send(a->fd, header, sizeof(header), 0), sizeof(header));
		for (size_t at = 0; at < sizeof(big);) {
			ssize_t sent = send(a->fd, big + at, sizeof(big) - at, 0);

			if (sent > 0)
				at += (size_t)sent;
			turn();
			if (sent < 0)
				break; /* not read any more: that is what is wanted */
		}
	}
	assert_true(api->link.queue.used <= LINK_QUEUE_MAX);
	ask_stop(b, 1, true, 0);
	assert_int_equal(stops, 1);
	guest_room = sizeof(guest_bytes) - guest_used;
	api_writable(api, GUEST_PORT_CONTROL);
	turn();
	while (guest_frame(&f))
		n += f.header.type == FRAME_REQUEST && f.header.length == sizeof(big);
	assert_true(n >= 4);
	peer_close(a);
	peer_close(b);
}

/* ... and one that vanishes meanwhile does not keep its place. */
static void test_parked_client_vanishes(void **state)
{
	struct peer *a = connect_peer();
	static uint8_t big[60000];
	unsigned int n = 0;

	(void)state;
	become_ready();
	guest_room = 0;
	while (!api->clients->parked) {
		assert_true(n++ < 20);
		peer_send(a, FRAME_REQUEST, n, big, sizeof(big));
	}
	peer_close(a);
	assert_int_equal(api->n_clients, 0);
	assert_int_equal(api->n_ended_sessions, 0); /* it fits: end of session is short */
}

static void test_client_does_not_read(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	uint64_t lost = metrics_get(METRIC_EVENTS_LOST);
	static uint8_t big[60000];
	struct frame f;

	(void)state;
	become_ready();
	for (unsigned int i = 0; i < 50; i++) {
		guest_says(FRAME_EVENT, 0, i, big, sizeof(big));
		while (peer_frame(b, &f))
			;
		b->used = b->read = 0;
	}
	assert_true(metrics_get(METRIC_EVENTS_LOST) > lost);
	assert_int_equal(api->n_clients, 2); /* events are dropped, not the client */
	for (unsigned int i = 0; i < 40; i++) {
		peer_send(a, FRAME_REQUEST, i, "x", 1);
		assert_true(guest_frame(&f));
		guest_says(FRAME_RESPONSE, f.header.session, f.header.request_id, big, sizeof(big));
		if (api->n_clients == 1)
			break;
	}
	assert_int_equal(api->n_clients, 1); /* answers are not dropped, so the client is */
	peer_close(a);
	peer_close(b);
}

static void test_half_frame(void **state)
{
	const struct frame_header h = {.type = FRAME_REQUEST, .length = 100, .request_id = 1};
	struct peer *a = connect_peer(), *b = connect_peer();
	uint8_t header[FRAME_HEADER_SIZE], payload[100] = {0};
	struct frame f;

	(void)state;
	become_ready();
	assert_int_equal(frame_encode_header(&h, payload, header), 0);
	assert_int_equal(send(a->fd, header, 20, 0), 20);
	turn();
	now += 9 * SECOND;
	assert_int_equal(send(a->fd, header + 20, 12, 0), 12); /* more of it does not help */
	turn();
	api_expire(api);
	assert_int_equal(api->n_clients, 2);
	now += 1 * SECOND;
	api_expire(api);
	assert_int_equal(api->n_clients, 1);
	assert_true(peer_closed(a));
	assert_non_null(strstr(last_log, "half a frame"));
	/* one that is slow, but whole in time, stays */
	assert_int_equal(send(b->fd, header, 32, 0), 32);
	turn();
	now += 9 * SECOND;
	assert_int_equal(send(b->fd, payload, 100, 0), 100);
	turn();
	now += 9 * SECOND;
	api_expire(api);
	assert_int_equal(api->n_clients, 1);
	assert_true(guest_frame(&f));
	peer_close(a);
	peer_close(b);
}

static void test_garbage(void **state)
{
	struct peer *a = connect_peer();
	uint64_t skipped = metrics_get(METRIC_CLIENT_BYTES_SKIPPED);
	static uint8_t garbage[30000];
	struct frame f;

	(void)state;
	become_ready();
	memset(garbage, 'g', sizeof(garbage));
	assert_int_equal(send(a->fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	peer_send(a, FRAME_REQUEST, 3, "x", 1);
	assert_true(guest_frame(&f));
	assert_int_equal(metrics_get(METRIC_CLIENT_BYTES_SKIPPED) - skipped, sizeof(garbage));
	peer_close(a);
}

static void test_console(void **state)
{
	struct peer *a = connect_peer(), *b = connect_peer();
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmConsole console = THESEUS__VM_CONSOLE__INIT;
	struct frame f;

	(void)state;
	console.attach = true;
	q.body_case = THESEUS__VM_REQUEST__BODY_CONSOLE;
	q.console = &console;
	peer_request(a, FRAME_VM_REQUEST, 1, &q);
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_OK, NULL);
	api_received(api, GUEST_PORT_CONSOLE, (const uint8_t *)"hi", 2);
	assert_true(peer_frame(a, &f));
	assert_int_equal(f.header.type, FRAME_CONSOLE);
	assert_memory_equal(f.payload, "hi", 2);
	assert_false(peer_frame(b, &f));
	guest_room = 3;
	peer_send(a, FRAME_CONSOLE, 0, "typed", 5);
	peer_send(b, FRAME_CONSOLE, 0, "not attached", 12);
	assert_int_equal(console_used, 3);
	guest_room = 10;
	api_writable(api, GUEST_PORT_CONSOLE);
	assert_memory_equal(console_bytes, "typed", 5);
	assert_int_equal(console_used, 5);
	console.attach = false;
	peer_request(a, FRAME_VM_REQUEST, 2, &q);
	peer_vm_expect(a, 2, THESEUS__STATUS__STATUS_OK, NULL);
	api_received(api, GUEST_PORT_CONSOLE, (const uint8_t *)"hi", 2);
	assert_false(peer_frame(a, &f));
	peer_close(a);
	peer_close(b);
}

/* ---- requests to theseus-vmm ---- */

static void test_status(void **state)
{
	struct peer *a = connect_peer();
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStatusGet get = THESEUS__VM_STATUS_GET__INIT;
	Theseus__VmResponse *r;

	(void)state;
	q.body_case = THESEUS__VM_REQUEST__BODY_STATUS;
	q.status = &get;
	peer_request(a, FRAME_VM_REQUEST, 1, &q);
	r = peer_vm_answer(a, 1);
	assert_string_equal(r->vm->state, "booting");
	assert_int_equal(r->vm->ready_ns, 0);
	assert_string_equal(r->vm->accel_reason, "because");
	assert_int_equal(r->vm->resident_bytes, 4711);
	theseus__vm_response__free_unpacked(r, NULL);
	become_ready();
	peer_request(a, FRAME_VM_REQUEST, 2, &q);
	r = peer_vm_answer(a, 2);
	assert_string_equal(r->vm->state, "ready");
	assert_true(r->vm->ready_ns == now);
	assert_string_equal(r->vm->guest_build_id, "abc123");
	theseus__vm_response__free_unpacked(r, NULL);
	peer_close(a);
}

static void test_bad_requests(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	peer_send(a, FRAME_VM_REQUEST, 1, "\xff\xff\xff\xff", 4);
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
	peer_send(a, FRAME_VM_REQUEST, 2, "", 0);
	peer_vm_expect(a, 2, THESEUS__STATUS__STATUS_UNSUPPORTED, "unsupported");
	peer_send(a, FRAME_VM_REQUEST, 3, "\x9a\x06\x00", 3); /* field 99: from the future */
	peer_vm_expect(a, 3, THESEUS__STATUS__STATUS_UNSUPPORTED, "unsupported");
	peer_close(a);
}

static void test_wait_ready(void **state)
{
	struct peer *a = connect_peer();
	struct frame f;

	(void)state;
	ask_wait(a, 1, true, 0);
	ask_wait(a, 2, true, 5 * SECOND);
	assert_false(peer_frame(a, &f));
	now += 6 * SECOND;
	api_expire(api);
	peer_vm_expect(a, 2, THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out");
	become_ready();
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_OK, NULL);
	ask_wait(a, 3, true, SECOND); /* it is already */
	peer_vm_expect(a, 3, THESEUS__STATUS__STATUS_OK, NULL);
	peer_close(a);
}

static void test_wait_ready_in_vain(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	ask_wait(a, 1, true, 0);
	end_guest();
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_LOST, "guest-lost");
	peer_close(a);
}

static void test_wait_end(void **state)
{
	struct peer *a = connect_peer();
	Theseus__VmResponse *r;

	(void)state;
	become_ready();
	ask_wait(a, 1, false, 0);
	end_guest();
	r = peer_vm_answer(a, 1);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_OK);
	assert_int_equal(r->exit->code, 0x10);
	assert_string_equal(r->exit->reason, "the guest powered off");
	theseus__vm_response__free_unpacked(r, NULL);
	peer_close(a);
}

static void test_too_many_waits(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	for (unsigned int i = 0; i < WAITERS_MAX; i++)
		ask_wait(a, i, true, 0);
	ask_wait(a, 5000, true, 0);
	peer_vm_expect(a, 5000, THESEUS__STATUS__STATUS_BUSY, "too-many-requests");
	peer_close(a);
	a = connect_peer(); /* its waits went with it */
	ask_wait(a, 1, true, SECOND);
	now += SECOND;
	api_expire(api);
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out");
	peer_close(a);
}

/* The Shutdown request that the guest got. */
static uint64_t shutdown_id(void)
{
	Theseus__Request *q;
	struct frame f;

	assert_true(guest_frame(&f));
	q = theseus__request__unpack(NULL, f.header.length, f.payload);
	assert_non_null(q);
	assert_int_equal(q->body_case, THESEUS__REQUEST__BODY_SHUTDOWN);
	theseus__request__free_unpacked(q, NULL);
	return f.header.request_id;
}

static void test_stop(void **state)
{
	Theseus__Response ok = THESEUS__RESPONSE__INIT;
	struct peer *a = connect_peer();
	struct frame f;

	(void)state;
	become_ready();
	ask_stop(a, 1, false, 0);
	guest_answers(shutdown_id(), &ok);
	assert_false(peer_frame(a, &f));
	assert_int_equal(api->state, API_STOPPING);
	end_guest();
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_OK, NULL);
	assert_int_equal(stops, 0);
	peer_close(a);
}

static void test_stop_takes_too_long(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	become_ready();
	ask_stop(a, 1, false, 2 * SECOND);
	(void)shutdown_id();
	now += 2 * SECOND;
	api_expire(api);
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out");
	assert_int_equal(stops, 0); /* it still runs */
	assert_int_equal(api->state, API_READY);
	peer_close(a);
}

static void test_stop_refused(void **state)
{
	Theseus__Response no = THESEUS__RESPONSE__INIT;
	Theseus__Error e = THESEUS__ERROR__INIT;
	char message[] = "not now";
	struct peer *a = connect_peer();

	(void)state;
	become_ready();
	ask_stop(a, 1, false, 0);
	e.message = message;
	no.status = THESEUS__STATUS__STATUS_REFUSED;
	no.error = &e;
	guest_answers(shutdown_id(), &no);
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_FAILED, "stop-refused");
	assert_int_equal(api->state, API_READY);
	assert_int_equal(stops, 0);
	peer_close(a);
}

static void test_stop_while_booting(void **state)
{
	struct peer *a = connect_peer();

	(void)state;
	ask_stop(a, 1, false, 0);
	assert_int_equal(stops, 1);
	end_guest();
	peer_vm_expect(a, 1, THESEUS__STATUS__STATUS_OK, NULL);
	peer_close(a);
}

/* SIGTERM: like a stop, but what does not power off is ended. */
static void test_shut_down(void **state)
{
	(void)state;
	become_ready();
	api_shut_down(api);
	(void)shutdown_id();
	assert_int_equal(stops, 0);
	now += API_STOP_NS;
	api_expire(api);
	assert_int_equal(stops, 1);
}

/* ---- the guest's end of the link ---- */

static void test_reopened(void **state)
{
	struct peer *a = connect_peer();
	struct frame f;

	(void)state;
	become_ready();
	guest_room = 40; /* not all of the frame */
	peer_send(a, FRAME_REQUEST, 1, "cut short by a reset of the link", 32);
	api_opened(api, GUEST_PORT_CONTROL, false);
	guest_used = guest_read = 0;
	frame_decoder_init(&to_guest);
	guest_room = sizeof(guest_bytes);
	api_opened(api, GUEST_PORT_CONTROL, true);
	assert_true(guest_frame(&f)); /* Hello again, before anything else */
	assert_int_equal(f.header.session, OWN_SESSION);
	peer_send(a, FRAME_REQUEST, 2, "next", 4);
	assert_true(guest_frame(&f));
	assert_memory_equal(f.payload, "next", 4);
	assert_int_equal(to_guest.skipped, 0);
	peer_close(a);
}

static void test_odd_answers(void **state)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	struct frame f;

	(void)state;
	api_opened(api, GUEST_PORT_CONTROL, true);
	assert_true(guest_frame(&f));
	guest_says(FRAME_RESPONSE, 1, OWN_REQUEST | 77, "x", 1); /* never asked */
	guest_says(FRAME_RESPONSE, 1, f.header.request_id, "\xff\xff", 2);
	assert_non_null(strstr(last_log, "no protobuf message"));
	assert_int_equal(readies, 0);
	guest_answers(f.header.request_id, &r); /* an answer, but not to Hello */
	assert_non_null(strstr(last_log, "refuses Hello"));
	assert_int_equal(readies, 0);
	api_opened(api, GUEST_PORT_CONTROL, false);
	become_ready();
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_mux),
		TEST(test_events),
		TEST(test_client_vanishes),
		TEST(test_guest_lost),
		TEST(test_too_many_requests),
		TEST(test_too_many_clients),
		TEST(test_guest_does_not_read),
		TEST(test_parked_client_vanishes),
		TEST(test_client_does_not_read),
		TEST(test_half_frame),
		TEST(test_garbage),
		TEST(test_console),
		TEST(test_status),
		TEST(test_bad_requests),
		TEST(test_wait_ready),
		TEST(test_wait_ready_in_vain),
		TEST(test_wait_end),
		TEST(test_too_many_waits),
		TEST(test_stop),
		TEST(test_stop_takes_too_long),
		TEST(test_stop_refused),
		TEST(test_stop_while_booting),
		TEST(test_shut_down),
		TEST(test_reopened),
		TEST(test_odd_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
