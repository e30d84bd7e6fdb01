/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <theseus/heap.h>

#include "agent.h"

void agent_upload_drop(struct agent_upload *u)
{
	if (u->size == 0)
		return;
	mapped_drop(&u->region);
	agent->upload_bytes -= u->size;
	*u = (struct agent_upload){0};
	if (agent->upload_bytes == 0) {
		heap_free(agent->arena_large);
		agent->arena_large = NULL;
	}
}

static void answer(const struct agent_call *call, const struct agent_upload *u)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__UploadReply reply = THESEUS__UPLOAD_REPLY__INIT;
	uint64_t left = u->size - u->received;

	reply.received = u->received;
	reply.credit = left < AGENT_CREDIT ? left : AGENT_CREDIT;
	r.body_case = THESEUS__RESPONSE__BODY_UPLOAD;
	r.upload = &reply;
	agent_answer(call, &r);
}

static int allocate(struct agent_upload *u, uint64_t size)
{
	OWNED(mapped_drop) struct mapped region = {0};
	int r = mapped_create(MAPPED_DATA, size, &region);

	if (r < 0)
		return r;
	if (!agent->arena_large)
		agent->arena_large = heap_alloc(CELL_SELF, AGENT_ARENA_LARGE);
	if (!agent->arena_large)
		return -ENOMEM;
	u->bytes = MAPPED_VIEW(uint8_t, region, 0, size);
	if (!u->bytes)
		return -ENOMEM;
	u->region = TAKE(region);
	u->size = size;
	agent->upload_bytes += size;
	return 0;
}

/*
 * The request's message may lie in the large arena, which goes with the last upload: what is
 * needed of it is copied before the session's old upload is dropped.
 */
void agent_upload_begin(const struct agent_call *call, struct agent_session *s,
			const Theseus__UploadBegin *m)
{
	struct agent_upload u = {0};
	uint64_t size = m->size;

	if (size == 0 || m->sha256.len != sizeof(u.sha256)) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request",
			   size == 0 ? "an upload has at least one byte"
				     : "a SHA-256 has 32 bytes");
		return;
	}
	if (size > AGENT_UPLOAD_MAX) {
		agent_fail(call, THESEUS__STATUS__STATUS_REFUSED, "too-large",
			   "the bundle has %llu bytes; this guest takes at most %u",
			   (unsigned long long)size, AGENT_UPLOAD_MAX);
		return;
	}
	memcpy(u.sha256, m->sha256.data, sizeof(u.sha256));
	agent_upload_drop(&s->upload);
	if (agent->upload_bytes + size > AGENT_UPLOADS_TOTAL_MAX) {
		agent_fail(call, THESEUS__STATUS__STATUS_BUSY, "busy",
			   "other uploads are under way and there is no room for this one");
		return;
	}
	if (allocate(&u, size) < 0) {
		agent_fail(call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
			   "the guest has no room for %llu bytes", (unsigned long long)size);
		return;
	}
	s->upload = u;
	answer(call, &s->upload);
}

void agent_upload_chunk(const struct agent_call *call, struct agent_session *s,
			const Theseus__UploadChunk *m)
{
	struct agent_upload *u = &s->upload;

	if (u->size == 0) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload",
			   "no upload was begun in this session");
		return;
	}
	if (m->offset != u->received || m->data.len == 0 || m->data.len > u->size - u->received) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request",
			   "a chunk of %zu bytes at %llu, with %llu of %llu received", m->data.len,
			   (unsigned long long)m->offset, (unsigned long long)u->received,
			   (unsigned long long)u->size);
		return;
	}
	memcpy(u->bytes + u->received, m->data.data, m->data.len);
	u->received += m->data.len;
	answer(call, u);
}
