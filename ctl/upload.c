/* SPDX-License-Identifier: MIT */
/* client_stage(): a bundle's way into the guest, in chunks within the credit it grants. */
#include "client.h"

#include <errno.h>
#include <sodium.h>

#include "util.h"

#define CHUNK_MAX (32u << 10)
#define TRIES_MAX 3

struct upload {
	struct client *cl;
	const uint8_t *data;
	size_t len;
	uint64_t deadline_ns;
	uint64_t first_id;   /* of the chunks */
	uint64_t unanswered; /* chunks */
	size_t sent;         /* bytes */
	size_t received;     /* bytes, as the guest says */
	uint64_t credit;     /* beyond @received */
	int status;          /* exit status, when a result is -ECANCELED */
};

/*
 * Takes an answer to a chunk. Results here and below: 0, -ECANCELED with u->status set, or
 * another -errno of the link.
 */
static int take_reply(struct upload *u, Theseus__Response *response)
{
	CLEANUP_RESPONSE Theseus__Response *ok = NULL;
	const Theseus__UploadReply *reply;

	u->status = client_finish(u->cl, response, THESEUS__RESPONSE__BODY_UPLOAD, &ok);
	if (u->status)
		return -ECANCELED;
	reply = ok->upload;
	if (reply->received > u->sent || reply->received < u->received)
		return -EPROTO;
	u->received = reply->received;
	u->credit = reply->credit;
	return 0;
}

static int begin(struct upload *u)
{
	Theseus__UploadBegin begin = THESEUS__UPLOAD_BEGIN__INIT;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Response *response = NULL;
	uint8_t sha256[crypto_hash_sha256_BYTES];
	uint64_t id = u->cl->next_id;
	int r;

	crypto_hash_sha256(sha256, u->data, u->len);
	begin.size = u->len;
	begin.sha256 = (ProtobufCBinaryData){.len = sizeof(sha256), .data = sha256};
	req.body_case = THESEUS__REQUEST__BODY_UPLOAD_BEGIN;
	req.upload_begin = &begin;
	r = client_post(u->cl, &req, u->deadline_ns);
	if (!r)
		r = client_await(u->cl, id, id, u->deadline_ns, &response);
	return r ? r : take_reply(u, response);
}

static int send_chunk(struct upload *u, size_t len)
{
	Theseus__UploadChunk chunk = THESEUS__UPLOAD_CHUNK__INIT;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	int r;

	chunk.offset = u->sent;
	chunk.data.len = len;
	chunk.data.data = (uint8_t *)(uintptr_t)(u->data + u->sent);
	req.body_case = THESEUS__REQUEST__BODY_UPLOAD_CHUNK;
	req.upload_chunk = &chunk;
	r = client_post(u->cl, &req, u->deadline_ns);
	if (r)
		return r;
	u->sent += len;
	u->unanswered++;
	return 0;
}

/* How long the next chunk may be now; 0 = wait for an answer first. */
static size_t chunk_length(const struct upload *u)
{
	size_t left = u->len - u->sent, under_way = u->sent - u->received;
	size_t room = u->credit > under_way ? (size_t)(u->credit - under_way) : 0;
	size_t len = left < CHUNK_MAX ? left : CHUNK_MAX;

	/* A small remainder of the credit is not worth a frame of its own while others run. */
	if (len > room)
		len = u->unanswered && room < CHUNK_MAX ? 0 : room;
	return len;
}

static int transfer(struct upload *u)
{
	u->first_id = u->cl->next_id;
	while (u->received < u->len) {
		size_t len = chunk_length(u);
		Theseus__Response *response = NULL;
		int r;

		if (len) {
			r = send_chunk(u, len);
			if (r)
				return r;
			continue;
		}
		if (!u->unanswered)
			return -EPROTO; /* no credit, and nothing under way that would bring some */
		r = client_await(u->cl, u->first_id, u->cl->next_id - 1, u->deadline_ns, &response);
		if (!r)
			r = take_reply(u, response);
		if (r)
			return r;
		u->unanswered--;
	}
	return 0;
}

static int stage(struct upload *u, const uint8_t id[16], Theseus__Response **ret_response)
{
	Theseus__Stage body = THESEUS__STAGE__INIT;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Response *response = NULL;
	uint64_t now = now_ns(), request_id;
	int r;

	req.idempotency_id = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)(uintptr_t)id};
	req.time_limit_ns = u->deadline_ns > now ? u->deadline_ns - now : 1;
	req.body_case = THESEUS__REQUEST__BODY_STAGE;
	req.stage = &body;
	request_id = u->cl->next_id;
	r = client_post(u->cl, &req, u->deadline_ns);
	if (!r)
		r = client_await(u->cl, request_id, request_id, u->deadline_ns, &response);
	if (r)
		return r;
	u->status = client_finish(u->cl, response, THESEUS__RESPONSE__BODY_STAGE, ret_response);
	return u->status ? -ECANCELED : 0;
}

static int check_size(struct client *cl, size_t len)
{
	uint64_t max = cl->greeting->hello->max_upload;
	char a[FORMAT_MAX], b[FORMAT_MAX];

	if (!len)
		return ctl_error(cl->ctl, CTL_REFUSED, "not-a-bundle", "the file is empty");
	if (max && len > max)
		return ctl_error(cl->ctl, CTL_REFUSED, "too-large",
				 "the bundle has %s; this guest takes at most %s",
				 format_bytes(len, a), format_bytes(max, b));
	return 0;
}

int client_stage(struct client *cl, const uint8_t *data, size_t len, uint64_t limit_ns,
		 Theseus__Response **ret_response)
{
	struct upload u = {.cl = cl, .data = data, .len = len};
	Theseus__Request ids = THESEUS__REQUEST__INIT;
	uint8_t id[16];
	int r = client_hello(cl);

	if (!r)
		r = check_size(cl, len);
	if (!r)
		r = client_new_id(cl, &ids, id);
	if (r)
		return r;
	u.deadline_ns = now_ns() + limit_ns;
	/*
	 * An upload dies with its session, so a broken link means all of it again; the guest
	 * knows by the id whether the first Stage had arrived.
	 */
	for (int tries = 1;; tries++) {
		u.sent = u.received = u.unanswered = u.credit = 0;
		r = begin(&u);
		if (!r)
			r = transfer(&u);
		if (!r)
			r = stage(&u, id, ret_response);
		if (!client_link_broken(r) || tries == TRIES_MAX)
			break;
		r = client_reopen(cl);
		if (r)
			return r;
	}
	if (r == -ECANCELED)
		return u.status;
	return r ? client_fail(cl, r, limit_ns) : 0;
}
