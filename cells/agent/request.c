/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <string.h>

#include <theseus/platform.h>

/* ---- memory for a decoded request: bounded, and gone at once when it was served ---- */

struct arena {
	uint8_t *base;
	size_t size, used;
	bool over;
};

static void *arena_alloc(void *data, size_t size)
{
	struct arena *a = data;
	size_t bytes = (size + 15) & ~(size_t)15;
	void *p;

	if (size > a->size || bytes > a->size - a->used) {
		a->over = true;
		return NULL;
	}
	p = a->base + a->used;
	a->used += bytes;
	return p;
}

static void arena_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

static Theseus__Request *decode(struct arena *a, const uint8_t *payload, size_t len)
{
	ProtobufCAllocator allocator = {arena_alloc, arena_free, a};

	return theseus__request__unpack(&allocator, len, payload);
}

/* ---- who serves what ---- */

static void shut_down(const struct agent_call *call, const Theseus__Shutdown *m)
{
	agent->end = m->reset ? PLATFORM_EXIT_RESET : PLATFORM_EXIT_POWEROFF;
	agent->end_deadline_ns = clock_after(CLOCK_S);
	agent_done(call);
}

static void dispatch(const struct agent_call *call, struct agent_session *s,
		     const Theseus__Request *req)
{
	switch (req->body_case) {
	case THESEUS__REQUEST__BODY_HELLO:
		return agent_hello(call, req->hello);
	case THESEUS__REQUEST__BODY_STATUS:
		return agent_status(call);
	case THESEUS__REQUEST__BODY_CELLS:
		return agent_cells(call, req->cells);
	case THESEUS__REQUEST__BODY_TASKS:
		return agent_tasks(call, req->tasks);
	case THESEUS__REQUEST__BODY_CELL_DEPS:
		return agent_cell_deps(call, req->cell_deps);
	case THESEUS__REQUEST__BODY_UPLOAD_BEGIN:
		return agent_upload_begin(call, s, req->upload_begin);
	case THESEUS__REQUEST__BODY_UPLOAD_CHUNK:
		return agent_upload_chunk(call, s, req->upload_chunk);
	case THESEUS__REQUEST__BODY_STAGE:
		return agent_stage(call, s);
	case THESEUS__REQUEST__BODY_STAGE_DROP:
		return agent_stage_drop(call, req->stage_drop);
	case THESEUS__REQUEST__BODY_SWAP:
		return agent_swap(call, req->swap, req->time_limit_ns);
	case THESEUS__REQUEST__BODY_EXEC:
		return agent_exec(call, req->exec, req->time_limit_ns);
	case THESEUS__REQUEST__BODY_LOG:
		return agent_log_get(call, s, req->log);
	case THESEUS__REQUEST__BODY_SHUTDOWN:
		return shut_down(call, req->shutdown);
	default:
		agent_fail(call, THESEUS__STATUS__STATUS_UNSUPPORTED, "unknown-request",
			   "this guest does not know the request; its protocol is %u",
			   AGENT_PROTOCOL);
	}
}

/* Result: true when the request is new and *@call is complete; else it was answered. */
static bool recall(struct agent_call *call, const Theseus__Request *req)
{
	const ProtobufCBinaryData *id = &req->idempotency_id;
	struct agent_memory *m;
	int index, r;

	if (id->len == 0)
		return true;
	if (id->len != AGENT_IDEMPOTENCY_BYTES) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request",
			   "an idempotency id has 16 bytes, not %zu", id->len);
		return false;
	}
	r = agent_memory_find(id->data, &index);
	if (r == -EBUSY) {
		agent_fail(call, THESEUS__STATUS__STATUS_BUSY, "busy",
			   "too many requests are being served");
		return false;
	}
	m = &agent->memories[index];
	if (r == -ENOENT) {
		m->kind = req->body_case;
		m->to = call->to;
		call->memory = index;
		return true;
	}
	if (m->kind != (uint32_t)req->body_case) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request",
			   "another request had this idempotency id");
		return false;
	}
	m->to = call->to;
	if (m->state == AGENT_MEMORY_DONE)
		agent_memory_replay(m);
	return false;
}

void agent_request(uint32_t session, uint64_t request_id, const uint8_t *payload, size_t len)
{
	struct agent_call call = {.to = {.request_id = request_id, .session = session},
				  .memory = -1};
	struct agent_session *s = agent_session_get(session);
	struct arena a = {.base = agent->arena, .size = sizeof(agent->arena)};
	const Theseus__Request *req;

	if (!s) {
		agent_fail(&call, THESEUS__STATUS__STATUS_BUSY, "busy", "%u sessions are open",
			   AGENT_SESSIONS_MAX);
		return;
	}
	call.to.serial = s->serial;
	if (len > sizeof(agent->arena) / 2 && agent->arena_large)
		a = (struct arena){.base = agent->arena_large, .size = AGENT_ARENA_LARGE};
	req = decode(&a, payload, len);
	if (!req) {
		agent_fail(&call, THESEUS__STATUS__STATUS_BAD_REQUEST,
			   a.over ? "too-large" : "bad-request",
			   a.over ? "the request is too large" : "the request is malformed");
		return;
	}
	if (recall(&call, req))
		dispatch(&call, s, req);
}
