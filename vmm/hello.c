/* SPDX-License-Identifier: MIT */
/*
 * theseus-vmm's own session with the agent: it says Hello whenever the guest opens its end of
 * the control link, so it knows when the guest is ready, and asks it to power off.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api-state.h"
#include "metrics.h"
#include "version.h"

#define PROTOCOL 1u
#define REQUEST_MAX 512u

static int send_own(struct api *api, const Theseus__Request *request, uint64_t *ret_id)
{
	struct frame_header h = {
		.type = FRAME_REQUEST,
		.session = OWN_SESSION,
		.request_id = OWN_REQUEST | (api->own_sequence + 1),
	};
	uint8_t payload[REQUEST_MAX];
	int r;

	if (theseus__request__get_packed_size(request) > sizeof(payload))
		return -EMSGSIZE;
	h.length = (uint32_t)theseus__request__pack(request, payload);
	r = link_queue(&api->link, &h, payload, true);
	if (r < 0)
		return r;
	api->own_sequence++;
	*ret_id = h.request_id;
	return 0;
}

static uint64_t wall_time(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say_hello(struct api *api)
{
	Theseus__Request request = THESEUS__REQUEST__INIT;
	Theseus__Hello hello = THESEUS__HELLO__INIT;
	char build_id[] = "theseus-vmm " VERSION;

	hello.protocol_min = hello.protocol_max = PROTOCOL;
	hello.build_id = build_id;
	hello.wall_time_ns = wall_time();
	request.body_case = THESEUS__REQUEST__BODY_HELLO;
	request.hello = &hello;
	if (send_own(api, &request, &api->hello_id) < 0)
		api_log(api,
			"earlier greetings are still unread by the guest; not saying Hello again");
}

void hello_guest_opened(struct api *api, bool open)
{
	if (!open) {
		link_closed(&api->link);
		return;
	}
	say_hello(api);
	link_pump(&api->link);
}

int hello_shut_down(struct api *api)
{
	Theseus__Request request = THESEUS__REQUEST__INIT;
	Theseus__Shutdown shutdown = THESEUS__SHUTDOWN__INIT;
	uint8_t id[16] = "theseus-vmm-stop";

	if (api->state == API_STOPPING)
		return 0;
	if (api->state != API_READY)
		return -EAGAIN;
	request.idempotency_id = (ProtobufCBinaryData){sizeof(id), id};
	request.body_case = THESEUS__REQUEST__BODY_SHUTDOWN;
	request.shutdown = &shutdown;
	if (send_own(api, &request, &api->shutdown_id) < 0)
		return -EAGAIN;
	api->state = API_STOPPING;
	link_pump(&api->link);
	return 0;
}

static void keep_marks(struct api *api, const Theseus__HelloReply *reply)
{
	api->n_guest_marks = 0;
	for (size_t i = 0; i < reply->n_boot_marks && i < GUEST_MARKS_MAX; i++) {
		struct guest_mark *m = &api->guest_marks[api->n_guest_marks++];

		(void)snprintf(m->name, sizeof(m->name), "%s", reply->boot_marks[i]->name);
		m->at_ns = reply->boot_marks[i]->at_ns;
	}
}

static void greeted(struct api *api, const Theseus__Response *r)
{
	if (r->body_case != THESEUS__RESPONSE__BODY_HELLO ||
	    r->status != THESEUS__STATUS__STATUS_OK) {
		api_log(api, "the guest refuses Hello: %s",
			r->error ? r->error->message : "it gives no reason");
		return;
	}
	(void)snprintf(api->guest_build_id, sizeof(api->guest_build_id), "%s", r->hello->build_id);
	keep_marks(api, r->hello);
	if (api->state != API_BOOTING)
		return;
	api->state = API_READY;
	api->ready_ns = api_now(api);
	api->owner.ready(api->owner.ctx, api->ready_ns);
	vmrequest_check_waiters(api);
}

static void shutdown_answered(struct api *api, const Theseus__Response *r)
{
	if (r->status == THESEUS__STATUS__STATUS_OK)
		return;
	if (api->state == API_STOPPING)
		api->state = API_READY;
	vmrequest_stop_refused(api, r->error ? r->error->message : "the guest gives no reason");
}

void hello_response(struct api *api, const struct frame *f)
{
	Theseus__Response *r;

	if (f->header.request_id != api->hello_id && f->header.request_id != api->shutdown_id) {
		metrics_add(METRIC_FRAMES_UNEXPECTED, 1);
		return;
	}
	r = theseus__response__unpack(NULL, f->header.length, f->payload);
	if (!r) {
		api_log(api, "the guest's answer is no protobuf message; ignoring it");
		return;
	}
	if (f->header.request_id == api->hello_id) {
		api->hello_id = 0;
		greeted(api, r);
	} else {
		api->shutdown_id = 0;
		shutdown_answered(api, r);
	}
	theseus__response__free_unpacked(r, NULL);
}
