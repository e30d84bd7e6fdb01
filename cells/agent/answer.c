/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <theseus/heap.h>
#include <theseus/loader.h>

/* ---- remembered answers ---- */

static void forget(struct agent_memory *m)
{
	*m = (struct agent_memory){0};
}

int agent_memory_find(const uint8_t id[AGENT_IDEMPOTENCY_BYTES], int *ret_index)
{
	int best = -1;

	for (int i = 0; i < (int)AGENT_MEMORY_MAX; i++) {
		const struct agent_memory *m = &agent->memories[i];

		if (m->state != AGENT_MEMORY_FREE && memcmp(m->id, id, sizeof(m->id)) == 0) {
			*ret_index = i;
			return 0;
		}
		/* free ones have order 0 */
		if (m->state != AGENT_MEMORY_RUNNING &&
		    (best < 0 || m->order < agent->memories[best].order))
			best = i;
	}
	if (best < 0)
		return -EBUSY;
	agent->memories[best] = (struct agent_memory){.state = AGENT_MEMORY_RUNNING};
	memcpy(agent->memories[best].id, id, AGENT_IDEMPOTENCY_BYTES);
	*ret_index = best;
	return -ENOENT;
}

/* Room for @len bytes in the ring; whoever's answer lay there is forgotten. */
static uint8_t *ring_take(uint32_t len, uint32_t *ret_at)
{
	uint32_t at = agent->answers_at;

	if (!agent->answers)
		agent->answers = heap_alloc(CELL_SELF, AGENT_MEMORY_BYTES);
	if (!agent->answers || len > AGENT_MEMORY_BYTES)
		return NULL;
	if (at > AGENT_MEMORY_BYTES - len)
		at = 0;
	for (unsigned i = 0; i < AGENT_MEMORY_MAX; i++) {
		struct agent_memory *m = &agent->memories[i];

		if (m->state == AGENT_MEMORY_DONE && m->at < at + len && at < m->at + m->len)
			forget(m);
	}
	agent->answers_at = at + len;
	*ret_at = at;
	return agent->answers + at;
}

/* A request that was not served for want of something may be sent again in earnest. */
static bool worth_keeping(Theseus__Status status)
{
	return status != THESEUS__STATUS__STATUS_BUSY &&
	       status != THESEUS__STATUS__STATUS_NO_MEMORY &&
	       status != THESEUS__STATUS__STATUS_BAD_REQUEST &&
	       status != THESEUS__STATUS__STATUS_UNSUPPORTED;
}

static void remember(struct agent_memory *m, const Theseus__Response *r)
{
	size_t len = theseus__response__get_packed_size(r);
	uint8_t *room = NULL;
	uint32_t at = 0;

	if (worth_keeping(r->status) && len <= FRAME_PAYLOAD_MAX)
		room = ring_take((uint32_t)len, &at);
	if (!room) {
		forget(m);
		return;
	}
	theseus__response__pack(r, room);
	m->state = AGENT_MEMORY_DONE;
	m->order = ++agent->next_order;
	m->at = at;
	m->len = (uint32_t)len;
}

/* ---- sending ---- */

static void pack_response(const void *message, uint8_t *out)
{
	theseus__response__pack(message, out);
}

static void send(const struct agent_requester *to, const Theseus__Response *r)
{
	/* a session that is gone gets nothing; one that never got an entry has serial 0 */
	if (to->serial != 0 && !agent_session_of(to))
		return;
	if (agent_queue(FRAME_RESPONSE, to->session, to->request_id,
			theseus__response__get_packed_size(r), pack_response, r) < 0)
		agent->out_dropped++;
}

struct replay {
	const uint8_t *bytes;
	size_t len;
};

static void pack_replay(const void *message, uint8_t *out)
{
	const struct replay *replay = message;

	memcpy(out, replay->bytes, replay->len);
}

void agent_memory_replay(const struct agent_memory *m)
{
	struct replay replay = {agent->answers + m->at, m->len};

	if (agent_queue(FRAME_RESPONSE, m->to.session, m->to.request_id, m->len, pack_replay,
			&replay) < 0)
		agent->out_dropped++;
}

void agent_answer(const struct agent_call *call, Theseus__Response *r)
{
	Theseus__Response cut = THESEUS__RESPONSE__INIT;
	Theseus__Error error;
	struct agent_requester to = call->to;

	theseus__error__init(&error);
	if (theseus__response__get_packed_size(r) > FRAME_PAYLOAD_MAX) {
		error.code = agent_text("too-large");
		error.message = agent_text("the answer does not fit a frame");
		cut.status = THESEUS__STATUS__STATUS_FAILED;
		cut.error = &error;
		r = &cut;
	}
	if (call->memory >= 0) {
		struct agent_memory *m = &agent->memories[call->memory];

		to = m->to; /* it may have been asked for again meanwhile */
		remember(m, r);
	}
	send(&to, r);
}

void agent_done(const struct agent_call *call)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;

	agent_answer(call, &r);
}

void agent_fail_reasons(const struct agent_call *call, Theseus__Status status, const char *code,
			const char *message, const char *reasons, size_t n, size_t stride)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	char *list[LOADER_REASONS_MAX];
	Theseus__Error e;

	theseus__error__init(&e);
	if (n > ARRAY_SIZE(list))
		n = ARRAY_SIZE(list);
	for (size_t i = 0; i < n; i++)
		list[i] = agent_text(reasons + i * stride);
	e.code = agent_text(code);
	e.message = agent_text(message);
	e.reasons = list;
	e.n_reasons = n;
	r.status = status;
	r.error = &e;
	agent_answer(call, &r);
}

void agent_fail(const struct agent_call *call, Theseus__Status status, const char *code,
		const char *fmt, ...)
{
	char message[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	agent_fail_reasons(call, status, code, message, NULL, 0, 0);
}

static void pack_event(const void *message, uint8_t *out)
{
	theseus__event__pack(message, out);
}

void agent_event(const struct agent_session *s, Theseus__Event *event)
{
	event->seq = ++agent->next_event;
	event->time_ns = clock_now_ns();
	if (agent_queue(FRAME_EVENT, s->id, 0, theseus__event__get_packed_size(event), pack_event,
			event) < 0)
		agent->out_dropped++;
}
