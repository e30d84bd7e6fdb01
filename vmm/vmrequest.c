/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api-state.h"
#include "marks.h"
#include "metrics.h"

/* Sends @r as the answer to @c's request @id. */
static void answer(struct client *c, uint64_t id, const Theseus__VmResponse *r)
{
	struct frame_header h = {.type = FRAME_VM_RESPONSE, .request_id = id};
	size_t size = theseus__vm_response__get_packed_size(r);
	uint8_t *payload = malloc(size ? size : 1);

	if (!payload || size > FRAME_PAYLOAD_MAX) {
		client_drop(c, "out of memory");
	} else {
		h.length = (uint32_t)theseus__vm_response__pack(r, payload);
		client_send(c, &h, payload);
	}
	free(payload);
}

static void answer_status(struct client *c, uint64_t id, Theseus__Status status, const char *code,
			  const char *message)
{
	Theseus__VmResponse r = THESEUS__VM_RESPONSE__INIT;
	Theseus__Error e = THESEUS__ERROR__INIT;
	char word[32], text[512];

	r.status = status;
	if (status != THESEUS__STATUS__STATUS_OK) {
		(void)snprintf(word, sizeof(word), "%s", code);
		(void)snprintf(text, sizeof(text), "%s", message);
		e.code = word;
		e.message = text;
		r.error = &e;
	}
	answer(c, id, &r);
}

/* ---- status and metrics ---- */

static char *state_name(enum api_state s)
{
	static char names[][16] = {
		[API_BOOTING] = "booting",
		[API_READY] = "ready",
		[API_STOPPING] = "stopping",
		[API_ENDED] = "stopping",
	};

	return names[s];
}

static char *unconst(const char *s)
{
	union {
		const char *in;
		char *out; /* protobuf-c's messages have no const; packing does not write */
	} u = {s};

	return u.out;
}

struct marks_message {
	Theseus__BootMark own[MARKS_MAX], guest[GUEST_MARKS_MAX];
	Theseus__BootMark *own_list[MARKS_MAX], *guest_list[GUEST_MARKS_MAX];
};

static void fill_marks(struct api *api, Theseus__VmStatus *s, struct marks_message *m)
{
	const struct mark *marks;

	s->n_vmm_marks = marks_get(&marks);
	for (size_t i = 0; i < s->n_vmm_marks; i++) {
		m->own[i] = (Theseus__BootMark)THESEUS__BOOT_MARK__INIT;
		m->own[i].name = unconst(marks[i].name);
		m->own[i].at_ns = marks[i].at_ns;
		m->own_list[i] = &m->own[i];
	}
	s->vmm_marks = m->own_list;
	s->n_guest_marks = api->n_guest_marks;
	for (size_t i = 0; i < s->n_guest_marks; i++) {
		m->guest[i] = (Theseus__BootMark)THESEUS__BOOT_MARK__INIT;
		m->guest[i].name = api->guest_marks[i].name;
		m->guest[i].at_ns = api->guest_marks[i].at_ns;
		m->guest_list[i] = &m->guest[i];
	}
	s->guest_marks = m->guest_list;
}

static void answer_vm(struct api *api, struct client *c, uint64_t id)
{
	Theseus__VmResponse r = THESEUS__VM_RESPONSE__INIT;
	Theseus__VmStatus s = THESEUS__VM_STATUS__INIT;
	struct marks_message marks;

	s.name = unconst(api->config.name);
	s.pid = (uint32_t)getpid();
	s.accel = unconst(api->config.accel);
	s.accel_reason = unconst(api->config.accel_reason);
	s.state = state_name(api->state);
	s.uptime_ns = api_now(api);
	s.ready_ns = api->ready_ns;
	s.cpus = api->config.cpus;
	s.memory_bytes = api->config.memory;
	s.guest_build_id = api->guest_build_id;
	s.resident_bytes = api->owner.resident(api->owner.ctx);
	s.clients = api->n_clients;
	s.log_path = unconst(api->config.log_path);
	fill_marks(api, &s, &marks);
	r.body_case = THESEUS__VM_RESPONSE__BODY_VM;
	r.vm = &s;
	answer(c, id, &r);
}

static void answer_metrics(struct client *c, uint64_t id)
{
	Theseus__VmResponse r = THESEUS__VM_RESPONSE__INIT;
	Theseus__VmMetrics m = THESEUS__VM_METRICS__INIT;
	Theseus__VmCounter counters[_METRIC_MAX], *list[_METRIC_MAX];

	for (unsigned int i = 0; i < _METRIC_MAX; i++) {
		counters[i] = (Theseus__VmCounter)THESEUS__VM_COUNTER__INIT;
		counters[i].name = unconst(metrics_name((enum metric)i));
		counters[i].value = metrics_get((enum metric)i);
		list[i] = &counters[i];
	}
	m.n_counters = _METRIC_MAX;
	m.counters = list;
	r.body_case = THESEUS__VM_RESPONSE__BODY_METRICS;
	r.metrics = &m;
	answer(c, id, &r);
}

/* ---- waiting ---- */

static void answer_exit(struct api *api, const struct waiter *w)
{
	Theseus__VmResponse r = THESEUS__VM_RESPONSE__INIT;
	Theseus__VmExit e = THESEUS__VM_EXIT__INIT;
	Theseus__Error error = THESEUS__ERROR__INIT;
	char code[] = "guest-lost";

	e.reason = api->end.text;
	e.code = api->end.code;
	if (w->kind == WAIT_READY) {
		r.status = THESEUS__STATUS__STATUS_LOST;
		error.code = code;
		error.message = api->end.text;
		r.error = &error;
	}
	r.body_case = THESEUS__VM_RESPONSE__BODY_EXIT;
	r.exit = &e;
	answer(w->client, w->request_id, &r);
}

static struct waiter take(struct waiter *w)
{
	struct waiter copy = *w;

	*w = (struct waiter){0};
	return copy;
}

static void overdue(struct api *api, const struct waiter *w)
{
	if (w->own_stop) {
		api_log(api, "the guest did not power off in time; ending it");
		api->owner.stop(api->owner.ctx);
		return;
	}
	if (w->kind == WAIT_STOP && api->state == API_STOPPING)
		api->state = API_READY;
	answer_status(w->client, w->request_id, THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out",
		      w->kind == WAIT_STOP    ? "the guest did not power off in time; it still runs"
		      : w->kind == WAIT_READY ? "the guest is not ready yet"
					      : "the VM still runs");
}

void vmrequest_check_waiters(struct api *api)
{
	uint64_t now = api_now(api);

	for (size_t i = 0; i < WAITERS_MAX; i++) {
		struct waiter *w = &api->waiters[i], copy;

		if (!w->client && !w->own_stop)
			continue;
		if (api->state == API_ENDED) {
			copy = take(w);
			if (copy.client)
				answer_exit(api, &copy);
		} else if (w->kind == WAIT_READY && api->ready_ns) {
			copy = take(w);
			answer_vm(api, copy.client, copy.request_id);
		} else if (now >= w->deadline) {
			copy = take(w);
			overdue(api, &copy);
		}
	}
	api_schedule(api);
}

void vmrequest_client_gone(struct api *api, struct client *c)
{
	for (size_t i = 0; i < WAITERS_MAX; i++)
		if (api->waiters[i].client == c)
			api->waiters[i] = (struct waiter){0};
}

static struct waiter *add_waiter(struct api *api, enum waiter_kind kind, uint64_t limit)
{
	uint64_t now = api_now(api);

	for (size_t i = 0; i < WAITERS_MAX; i++) {
		struct waiter *w = &api->waiters[i];

		if (w->client || w->own_stop)
			continue;
		w->kind = kind;
		w->deadline = limit && limit < UINT64_MAX - now ? now + limit : UINT64_MAX;
		return w;
	}
	return NULL;
}

static void wait_for(struct api *api, struct client *c, uint64_t id, enum waiter_kind kind,
		     uint64_t limit)
{
	struct waiter *w = add_waiter(api, kind, limit);

	if (!w) {
		answer_status(c, id, THESEUS__STATUS__STATUS_BUSY, "too-many-requests",
			      "too many clients are waiting");
		return;
	}
	w->client = c;
	w->request_id = id;
	vmrequest_check_waiters(api);
}

void vmrequest_own_stop(struct api *api)
{
	struct waiter *w = add_waiter(api, WAIT_STOP, API_STOP_NS);

	if (w)
		w->own_stop = true;
	else
		api->owner.stop(api->owner.ctx);
	api_schedule(api);
}

void vmrequest_stop_refused(struct api *api, const char *why)
{
	for (size_t i = 0; i < WAITERS_MAX; i++) {
		struct waiter *w = &api->waiters[i], copy;

		if (w->kind != WAIT_STOP || (!w->client && !w->own_stop))
			continue;
		copy = take(w);
		if (copy.own_stop) {
			api_log(api, "the guest does not power off: %s; ending it", why);
			api->owner.stop(api->owner.ctx);
		} else {
			answer_status(copy.client, copy.request_id, THESEUS__STATUS__STATUS_FAILED,
				      "stop-refused", why);
		}
	}
}

/* ---- requests ---- */

static void stop(struct api *api, struct client *c, uint64_t id, const Theseus__VmStop *s)
{
	uint64_t limit = s->time_limit_ns ? s->time_limit_ns : API_STOP_NS;

	if (api->state != API_ENDED) {
		/* a guest that is not up yet cannot be asked, and has nothing to lose */
		if (s->force || hello_shut_down(api) < 0)
			api->owner.stop(api->owner.ctx);
	}
	wait_for(api, c, id, WAIT_STOP, limit);
}

static void dispatch(struct api *api, struct client *c, uint64_t id, const Theseus__VmRequest *q)
{
	switch (q->body_case) {
	case THESEUS__VM_REQUEST__BODY_STATUS:
		answer_vm(api, c, id);
		return;
	case THESEUS__VM_REQUEST__BODY_STOP:
		stop(api, c, id, q->stop);
		return;
	case THESEUS__VM_REQUEST__BODY_CONSOLE:
		c->console = q->console->attach;
		answer_status(c, id, THESEUS__STATUS__STATUS_OK, NULL, NULL);
		return;
	case THESEUS__VM_REQUEST__BODY_METRICS:
		answer_metrics(c, id);
		return;
	case THESEUS__VM_REQUEST__BODY_WAIT:
		wait_for(api, c, id, q->wait->ready ? WAIT_READY : WAIT_END,
			 q->wait->time_limit_ns);
		return;
	default:
		answer_status(c, id, THESEUS__STATUS__STATUS_UNSUPPORTED, "unsupported",
			      "theseus-vmm does not know this request");
	}
}

bool vmrequest(struct api *api, struct client *c, const struct frame *f)
{
	Theseus__VmRequest *q = theseus__vm_request__unpack(NULL, f->header.length, f->payload);

	if (!q) {
		answer_status(c, f->header.request_id, THESEUS__STATUS__STATUS_BAD_REQUEST,
			      "bad-request", "the payload is no theseus.VmRequest");
		return true;
	}
	dispatch(api, c, f->header.request_id, q);
	theseus__vm_request__free_unpacked(q, NULL);
	return true;
}
