/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util.h"

#define REOPEN_MAX 3
#define DOMAIN_OPEN_LIMIT_NS (10 * NS_PER_SEC)
#define FOR_EVER_NS (1000ull * DURATION_MAX_NS)

/* ---- frames; results are 0 or -errno ---- */

bool client_link_broken(int r)
{
	return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN || r == -EIO;
}

/* Reads what is there, without waiting, into what is free of cl->in. */
static int pull(struct client *cl)
{
	ssize_t n;

	if (cl->in_at == cl->in_end)
		cl->in_at = cl->in_end = 0;
	if (cl->in_end == sizeof(cl->in))
		return 0;
	n = transport_read(cl->link, cl->in + cl->in_end, sizeof(cl->in) - cl->in_end);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	cl->in_end += (size_t)n;
	return 0;
}

/*
 * Writes all. Takes in what the other side sends meanwhile, as far as there is room: it may
 * not read on before it got rid of that.
 */
static int write_all(struct client *cl, const uint8_t *p, size_t len, uint64_t deadline_ns)
{
	while (len) {
		ssize_t n = transport_write(cl->link, p, len);
		int r;

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n != -EAGAIN)
			return (int)n;
		r = transport_wait(cl->link,
				   TRANSPORT_WRITE |
					   (cl->in_end < sizeof(cl->in) ? TRANSPORT_READ : 0u),
				   NULL, 0, deadline_ns);
		if (r > 0 && (r & TRANSPORT_READ))
			r = pull(cl);
		if (r < 0)
			return r;
	}
	return 0;
}

static int post(struct client *cl, enum frame_type type, uint64_t id, const uint8_t *payload,
		size_t len, uint64_t deadline_ns)
{
	struct frame_header h = {.type = type, .length = (uint32_t)len, .request_id = id};
	CLEANUP_FREE uint8_t *out = malloc(FRAME_HEADER_SIZE + len);
	int r;

	if (len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!out)
		return -ENOMEM;
	if (len)
		memcpy(out + FRAME_HEADER_SIZE, payload, len);
	r = frame_encode_header(&h, out + FRAME_HEADER_SIZE, out);
	return r ? r : write_all(cl, out, FRAME_HEADER_SIZE + len, deadline_ns);
}

/* 1: *ret_frame (borrowed until the next call); 0: a watch is ready; or -errno. */
static int next_frame(struct client *cl, struct transport_watch *watches, size_t n_watches,
		      uint64_t deadline_ns, struct frame *ret_frame)
{
	for (;;) {
		size_t taken;
		int r = frame_decode(cl->decoder, cl->in + cl->in_at, cl->in_end - cl->in_at,
				     &taken, ret_frame);

		cl->in_at += taken;
		if (r)
			return 1;
		r = transport_wait(cl->link, TRANSPORT_READ, watches, n_watches, deadline_ns);
		if (r == 0)
			return 0;
		if (r > 0)
			r = pull(cl);
		if (r < 0)
			return r;
	}
}

/* What is not an answer: events and console bytes. The rest is late or unknown: dropped. */
static void deliver(struct client *cl, const struct frame *f)
{
	if (f->header.type == FRAME_CONSOLE && cl->on_console)
		cl->on_console(cl, f->payload, f->header.length, cl->arg);
	if (f->header.type == FRAME_EVENT && cl->on_event) {
		Theseus__Event *event = theseus__event__unpack(NULL, f->header.length, f->payload);

		if (event)
			cl->on_event(cl, event, cl->arg);
		theseus__event__free_unpacked(event, NULL);
	}
}

/* Waits for the frame of @type whose id lies in [first, last]. */
static int await(struct client *cl, enum frame_type type, uint64_t first, uint64_t last,
		 uint64_t deadline_ns, struct frame *ret_frame)
{
	for (;;) {
		int r = next_frame(cl, NULL, 0, deadline_ns, ret_frame);

		if (r < 0)
			return r;
		if (ret_frame->header.type == type && ret_frame->header.request_id >= first &&
		    ret_frame->header.request_id <= last)
			return 0;
		deliver(cl, ret_frame);
	}
}

int client_await(struct client *cl, uint64_t first, uint64_t last, uint64_t deadline_ns,
		 Theseus__Response **ret_response)
{
	struct frame f;
	int r = await(cl, FRAME_RESPONSE, first, last, deadline_ns, &f);

	if (r)
		return r;
	*ret_response = theseus__response__unpack(NULL, f.header.length, f.payload);
	return *ret_response ? 0 : -EPROTO;
}

/* ---- errors; results are exit statuses ---- */

static const char *target_name(const struct client *cl)
{
	return cl->target ? cl->target->name : "the VM";
}

int client_fail(struct client *cl, int r, uint64_t limit_ns)
{
	char buf[FORMAT_MAX];

	if (r == -ETIMEDOUT)
		return ctl_error(cl->ctl, CTL_NO_VM, "no-answer",
				 "%s: the guest does not answer (waited %s)", target_name(cl),
				 format_ns(limit_ns, buf));
	if (client_link_broken(r) && cl->greeted)
		return ctl_error(cl->ctl, CTL_LOST, "guest-lost", "%s: the VM went away meanwhile",
				 target_name(cl));
	if (client_link_broken(r))
		return ctl_error(cl->ctl, CTL_NO_VM, "no-answer", "%s: the VM closed the link",
				 target_name(cl));
	if (r == -EPROTO)
		return ctl_error(cl->ctl, CTL_FAILED, "protocol",
				 "%s: the answer makes no sense to this version of theseusctl",
				 target_name(cl));
	if (r == -EMSGSIZE)
		return ctl_error(cl->ctl, CTL_USAGE, "too-long",
				 "the request is longer than %u bytes", FRAME_PAYLOAD_MAX);
	return ctl_error(cl->ctl, CTL_FAILED, "link", "%s: %s", target_name(cl), strerror(-r));
}

struct status_row {
	int exit;
	const char *code;
	const char *text;
};

static const struct status_row *status_row(Theseus__Status status)
{
	static const struct status_row rows[] = {
		[THESEUS__STATUS__STATUS_OK] = {CTL_DONE, "ok", ""},
		[THESEUS__STATUS__STATUS_FAILED] = {CTL_FAILED, "failed", "it failed"},
		[THESEUS__STATUS__STATUS_UNSUPPORTED] = {CTL_FAILED, "unsupported",
							 "the VM does not know this request"},
		[THESEUS__STATUS__STATUS_BAD_REQUEST] = {CTL_FAILED, "bad-request",
							 "the VM takes the request for malformed"},
		[THESEUS__STATUS__STATUS_NOT_FOUND] = {CTL_FAILED, "not-found", "there is no such"},
		[THESEUS__STATUS__STATUS_REFUSED] = {CTL_REFUSED, "refused", "a check refused it"},
		[THESEUS__STATUS__STATUS_TIMED_OUT] = {CTL_TIMED_OUT, "timed-out",
						       "not done in time; undone"},
		[THESEUS__STATUS__STATUS_BUSY] = {CTL_FAILED, "busy",
						  "another transaction is under way; try again"},
		[THESEUS__STATUS__STATUS_NO_MEMORY] = {CTL_FAILED, "no-memory",
						       "the guest is out of memory"},
		[THESEUS__STATUS__STATUS_LOST] = {CTL_LOST, "guest-lost",
						  "the guest was reset or stopped meanwhile"},
	};
	static const struct status_row unknown = {CTL_FAILED, "failed",
						  "it failed in a way unknown to this version"};

	if ((unsigned int)status < sizeof(rows) / sizeof(rows[0]))
		return &rows[status];
	return &unknown;
}

/* A code is for programs: only what a code may be made of passes. */
static bool code_valid(const char *code)
{
	size_t n = strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n && !code[n] && n <= 40;
}

/* Turns an answer's status into 0 or an exit status with everything that was said. */
static int check_status(struct client *cl, Theseus__Status status, const Theseus__Error *e)
{
	const struct status_row *row = status_row(status);
	CLEANUP_FREE char *message = NULL;
	const char *code = row->code;

	if (row->exit == CTL_DONE)
		return 0;
	if (e && code_valid(e->code) && status != THESEUS__STATUS__STATUS_BUSY)
		code = e->code;
	if (e && *e->message)
		message = clean_text(e->message, strlen(e->message), true);
	(void)ctl_error(cl->ctl, row->exit, code, "%s", message ? message : row->text);
	for (size_t i = 0; e && i < e->n_reasons; i++) {
		CLEANUP_FREE char *reason = clean_text(e->reasons[i], strlen(e->reasons[i]), false);

		if (reason)
			ctl_error_reason(cl->ctl, reason);
	}
	return row->exit;
}

/* ---- sessions ---- */

static int link_open(struct ctl *c, const struct target *target, struct transport **ret_link)
{
	int r;

	if (target->kind == TARGET_DOMAIN)
		return transport_open_domain(c, c->connect, target->name, TRANSPORT_DOMAIN_CONTROL,
					     DOMAIN_OPEN_LIMIT_NS, ret_link);
	r = transport_open_unix(c, target->path, ret_link);
	if (r == CTL_NO_VM && target->name != c->socket && !strcmp(c->error.code, "no-such-vm"))
		return ctl_error(c, CTL_NO_VM, "no-such-vm",
				 "no VM \"%s\" runs (\"theseusctl ls\" lists those that do)",
				 target->name);
	return r;
}

static void session_reset(struct client *cl, struct transport *link)
{
	transport_close(cl->link);
	cl->link = link;
	cl->in_at = cl->in_end = 0;
	frame_decoder_init(cl->decoder);
	theseus__response__free_unpacked(cl->greeting, NULL);
	cl->greeting = NULL;
}

int client_open_link(struct ctl *c, struct transport *link, struct client **ret_client)
{
	struct client *cl = calloc(1, sizeof(*cl));
	struct frame_decoder *decoder = malloc(sizeof(*decoder));

	if (!cl || !decoder) {
		free(cl);
		free(decoder);
		transport_close(link);
		return ctl_oom(c);
	}
	cl->ctl = c;
	cl->decoder = decoder;
	cl->next_id = 1;
	cl->hello_limit_ns = CLIENT_LIMIT_NS;
	session_reset(cl, link);
	*ret_client = cl;
	return 0;
}

int client_open(struct ctl *c, const struct target *target, struct client **ret_client)
{
	struct transport *link;
	int r = link_open(c, target, &link);

	if (!r)
		r = client_open_link(c, link, ret_client);
	if (!r)
		(*ret_client)->target = target;
	return r;
}

void client_close(struct client *cl)
{
	if (!cl)
		return;
	session_reset(cl, NULL);
	free(cl->decoder);
	free(cl);
}

void client_closep(struct client **cl)
{
	client_close(*cl);
}

void response_freep(Theseus__Response **r)
{
	theseus__response__free_unpacked(*r, NULL);
}

void vm_response_freep(Theseus__VmResponse **r)
{
	theseus__vm_response__free_unpacked(*r, NULL);
}

static int pack_request(const Theseus__Request *req, uint8_t **ret_buf, size_t *ret_len)
{
	size_t len = theseus__request__get_packed_size(req);
	uint8_t *buf;

	if (len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	buf = malloc(len ? len : 1);
	if (!buf)
		return -ENOMEM;
	*ret_len = theseus__request__pack(req, buf);
	*ret_buf = buf;
	return 0;
}

int client_post(struct client *cl, const Theseus__Request *req, uint64_t deadline_ns)
{
	CLEANUP_FREE uint8_t *buf = NULL;
	size_t len = 0;
	int r = pack_request(req, &buf, &len);

	return r ? r : post(cl, FRAME_REQUEST, cl->next_id++, buf, len, deadline_ns);
}

static int hello_once(struct client *cl, uint64_t deadline_ns)
{
	Theseus__Hello hello;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	uint64_t id = cl->next_id;
	int r;

	theseus__hello__init(&hello);
	hello.protocol_min = CLIENT_PROTOCOL;
	hello.protocol_max = CLIENT_PROTOCOL;
	hello.build_id = (char *)(uintptr_t)("theseusctl " THESEUS_VERSION);
	hello.wall_time_ns = wall_time_ns();
	req.body_case = THESEUS__REQUEST__BODY_HELLO;
	req.hello = &hello;
	r = client_post(cl, &req, deadline_ns);
	return r ? r : client_await(cl, id, id, deadline_ns, &cl->greeting);
}

/*
 * The guest may still wait for the rest of a frame of whoever held this channel before: as
 * many bytes as the longest frame has end that frame, and are thrown away.
 */
static int flush_cut_frame(struct client *cl, uint64_t deadline_ns)
{
	static const uint8_t zeros[FRAME_SIZE_MAX];

	return write_all(cl, zeros, sizeof(zeros), deadline_ns);
}

static int hello_exchange(struct client *cl, uint64_t deadline_ns)
{
	int r;

	if (!cl->target || cl->target->kind != TARGET_DOMAIN)
		return hello_once(cl, deadline_ns);
	r = hello_once(cl, now_ns() + cl->hello_limit_ns / 4);
	if (r == -ETIMEDOUT)
		r = flush_cut_frame(cl, deadline_ns);
	else
		return r;
	return r ? r : hello_once(cl, deadline_ns);
}

static int check_greeting(struct client *cl)
{
	const Theseus__Response *g = cl->greeting;
	int r = check_status(cl, g->status, g->error);

	if (r)
		return r;
	if (g->body_case != THESEUS__RESPONSE__BODY_HELLO)
		return client_fail(cl, -EPROTO, 0);
	if (g->hello->protocol != CLIENT_PROTOCOL)
		return ctl_error(cl->ctl, CTL_FAILED, "protocol-version",
				 "%s speaks protocol %u, theseusctl %s speaks %d", target_name(cl),
				 g->hello->protocol, THESEUS_VERSION, CLIENT_PROTOCOL);
	cl->greeted = true;
	return 0;
}

int client_hello(struct client *cl)
{
	int r;

	if (cl->greeting)
		return 0;
	r = hello_exchange(cl, now_ns() + cl->hello_limit_ns);
	if (r)
		return client_fail(cl, r, cl->hello_limit_ns);
	r = check_greeting(cl);
	if (r) {
		theseus__response__free_unpacked(cl->greeting, NULL);
		cl->greeting = NULL;
	}
	return r;
}

/* A new link after the old one broke. Result: exit status; CTL_LOST when nobody is there. */
int client_reopen(struct client *cl)
{
	struct transport *link = NULL;
	int r;

	if (!cl->target)
		return client_fail(cl, -ECONNRESET, 0);
	r = link_open(cl->ctl, cl->target, &link);
	if (r == CTL_NO_VM)
		return client_fail(cl, -ECONNRESET, 0);
	if (r)
		return r;
	session_reset(cl, link);
	return client_hello(cl);
}

static int call_once(struct client *cl, const uint8_t *buf, size_t len, uint64_t deadline_ns,
		     Theseus__Response **ret_response)
{
	uint64_t id = cl->next_id++;
	int r = post(cl, FRAME_REQUEST, id, buf, len, deadline_ns);

	return r ? r : client_await(cl, id, id, deadline_ns, ret_response);
}

/* Hands @response (consumed) on if its status is OK and it holds @body. Result: exit status. */
int client_finish(struct client *cl, Theseus__Response *response, Theseus__Response__BodyCase body,
		  Theseus__Response **ret_response)
{
	int r = check_status(cl, response->status, response->error);

	if (!r && body != THESEUS__RESPONSE__BODY__NOT_SET && response->body_case != body)
		r = client_fail(cl, -EPROTO, 0);
	if (r)
		theseus__response__free_unpacked(response, NULL);
	else
		*ret_response = response;
	return r;
}

int client_call(struct client *cl, const Theseus__Request *req, uint64_t limit_ns,
		Theseus__Response__BodyCase body, Theseus__Response **ret_response)
{
	CLEANUP_FREE uint8_t *buf = NULL;
	Theseus__Response *response = NULL;
	uint64_t deadline;
	size_t len = 0;
	int r = client_hello(cl);

	if (r)
		return r;
	limit_ns = limit_ns ? limit_ns : CLIENT_LIMIT_NS;
	deadline = now_ns() + limit_ns;
	r = pack_request(req, &buf, &len);
	for (int again = 0; !r; again++) {
		r = call_once(cl, buf, len, deadline, &response);
		if (!client_link_broken(r) || again == REOPEN_MAX)
			break;
		r = client_reopen(cl);
		if (r)
			return r;
	}
	return r ? client_fail(cl, r, limit_ns) : client_finish(cl, response, body, ret_response);
}

int client_new_id(struct client *cl, Theseus__Request *req, uint8_t buf[16])
{
	if (getrandom(buf, 16, 0) != 16)
		return ctl_error(cl->ctl, CTL_FAILED, "system", "no random numbers: %s",
				 strerror(errno));
	req->idempotency_id.data = buf;
	req->idempotency_id.len = 16;
	return 0;
}

/* ---- theseus-vmm itself ---- */

static int post_vm(struct client *cl, const Theseus__VmRequest *req, uint64_t deadline_ns,
		   uint64_t *ret_id)
{
	CLEANUP_FREE uint8_t *buf = malloc(theseus__vm_request__get_packed_size(req) + 1);

	if (!buf)
		return -ENOMEM;
	*ret_id = cl->next_id++;
	return post(cl, FRAME_VM_REQUEST, *ret_id, buf, theseus__vm_request__pack(req, buf),
		    deadline_ns);
}

static int need_vmm(struct client *cl)
{
	if (cl->target && cl->target->kind == TARGET_DOMAIN)
		return ctl_error(cl->ctl, CTL_USAGE, "needs-vmm",
				 "%s is for VMs of theseus-vmm; a libvirt domain has none",
				 cl->ctl->command ? cl->ctl->command->verb : "this");
	return 0;
}

int client_post_vm(struct client *cl, const Theseus__VmRequest *req, uint64_t *ret_id)
{
	int r = need_vmm(cl);

	if (r)
		return r;
	r = post_vm(cl, req, now_ns() + CLIENT_LIMIT_NS, ret_id);
	return r ? client_fail(cl, r, CLIENT_LIMIT_NS) : 0;
}

int client_post_wait(struct client *cl, uint64_t *ret_id)
{
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmWait wait = THESEUS__VM_WAIT__INIT;

	wait.time_limit_ns = FOR_EVER_NS;
	req.body_case = THESEUS__VM_REQUEST__BODY_WAIT;
	req.wait = &wait;
	return client_post_vm(cl, &req, ret_id);
}

/* Unpacks an answer of theseus-vmm and checks its status. Result: exit status. */
static int finish_vm(struct client *cl, const struct frame *f, Theseus__VmResponse **ret_response)
{
	Theseus__VmResponse *response =
		theseus__vm_response__unpack(NULL, f->header.length, f->payload);
	int r;

	if (!response)
		return client_fail(cl, -EPROTO, 0);
	r = check_status(cl, response->status, response->error);
	if (r)
		theseus__vm_response__free_unpacked(response, NULL);
	else
		*ret_response = response;
	return r;
}

static int vmm_silent(struct client *cl, uint64_t limit_ns)
{
	char buf[FORMAT_MAX];

	return ctl_error(cl->ctl, CTL_NO_VM, "no-answer",
			 "%s: theseus-vmm does not answer (waited %s); \"theseusctl kill\" ends it",
			 target_name(cl), format_ns(limit_ns, buf));
}

int client_call_vm(struct client *cl, const Theseus__VmRequest *req, uint64_t limit_ns,
		   Theseus__VmResponse **ret_response)
{
	struct frame f;
	uint64_t deadline, id;
	int r = need_vmm(cl);

	if (r)
		return r;
	limit_ns = limit_ns ? limit_ns : CLIENT_LIMIT_NS;
	deadline = now_ns() + limit_ns;
	r = post_vm(cl, req, deadline, &id);
	if (!r)
		r = await(cl, FRAME_VM_RESPONSE, id, id, deadline, &f);
	if (r == -ETIMEDOUT)
		return vmm_silent(cl, limit_ns);
	return r ? client_fail(cl, r, limit_ns) : finish_vm(cl, &f, ret_response);
}

int client_lost(struct client *cl, const Theseus__VmResponse *end)
{
	CLEANUP_FREE char *reason = NULL;

	if (end && end->body_case == THESEUS__VM_RESPONSE__BODY_EXIT)
		reason = clean_text(end->exit->reason, strlen(end->exit->reason), false);
	return ctl_error(
		cl->ctl, CTL_LOST, "guest-lost", "%s: the VM has ended: %s", target_name(cl),
		reason && *reason                                 ? reason
		: cl->target && cl->target->kind == TARGET_DOMAIN ? "its channel was closed"
								  : "theseus-vmm is gone");
}

int client_send_console(struct client *cl, const uint8_t *data, size_t len)
{
	int r = post(cl, FRAME_CONSOLE, 0, data, len, now_ns() + CLIENT_LIMIT_NS);

	return r ? client_fail(cl, r, CLIENT_LIMIT_NS) : 0;
}

int client_wait(struct client *cl, struct transport_watch *watches, size_t n_watches,
		uint64_t vm_id, uint64_t deadline_ns, Theseus__VmResponse **ret_vm_response)
{
	struct frame f;
	int r;

	*ret_vm_response = NULL;
	/* A stream that never pauses must not keep the watches from being seen. */
	r = transport_wait(cl->link, 0, watches, n_watches, 0);
	for (size_t i = 0; i < n_watches; i++)
		if (watches[i].ready)
			return 0;
	r = next_frame(cl, watches, n_watches, deadline_ns, &f);
	if (r == -ETIMEDOUT)
		return ctl_error(cl->ctl, CTL_TIMED_OUT, "timed-out", "%s: not in time",
				 target_name(cl));
	if (r < 0)
		return client_link_broken(r)
			       ? ctl_error(cl->ctl, CTL_LOST, "guest-lost",
					   "%s: the VM ended the session", target_name(cl))
			       : client_fail(cl, r, 0);
	if (r == 0)
		return 0;
	if (vm_id && f.header.type == FRAME_VM_RESPONSE && f.header.request_id == vm_id)
		return finish_vm(cl, &f, ret_vm_response);
	deliver(cl, &f);
	return 0;
}
