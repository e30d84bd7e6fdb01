/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <theseus/heap.h>

#define RECEIVE_BYTES 4096u

int agent_queue(enum frame_type type, uint32_t session, uint64_t request_id, size_t len,
		void (*pack)(const void *message, uint8_t *out), const void *message)
{
	struct frame_header header = {.type = type,
				      .length = (uint32_t)len,
				      .session = session,
				      .request_id = request_id};
	struct agent_out *out;
	int r;

	if (len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	out = heap_alloc(CELL_SELF, sizeof(*out) + FRAME_HEADER_SIZE + len);
	if (!out)
		return -ENOMEM;
	*out = (struct agent_out){.len = FRAME_HEADER_SIZE + len};
	pack(message, out->bytes + FRAME_HEADER_SIZE);
	r = frame_encode_header(&header, out->bytes + FRAME_HEADER_SIZE, out->bytes);
	if (r < 0) {
		heap_free(out);
		return r;
	}
	if (agent->out_last)
		agent->out_last->next = out;
	else
		agent->out_first = out;
	agent->out_last = out;
	agent->out_bytes += out->len;
	return 0;
}

static void drop_first(void)
{
	struct agent_out *out = agent->out_first;

	agent->out_first = out->next;
	if (!agent->out_first)
		agent->out_last = NULL;
	agent->out_bytes -= out->len;
	heap_free(out);
}

void agent_drop_out(void)
{
	while (agent->out_first)
		drop_first();
}

bool agent_flush(void)
{
	while (agent->out_first) {
		struct agent_out *out = agent->out_first;
		int n = console_send(agent->link, out->bytes + out->sent, out->len - out->sent);

		if (n == 0)
			return false;
		if (n < 0) {
			/* nobody is there to read it */
			agent_drop_out();
			return true;
		}
		out->sent += (size_t)n;
		if (out->sent == out->len)
			drop_first();
	}
	return true;
}

static void serve(const struct frame *f)
{
	if (f->header.type == FRAME_REQUEST)
		agent_request(f->header.session, f->header.request_id, f->payload, f->header.length);
	else if (f->header.type == FRAME_SESSION_END)
		agent_session_end(f->header.session);
}

/* Another peer, or the same one afresh: nothing of the old link is valid. */
static void start_afresh(uint32_t opens)
{
	agent->opens = opens;
	frame_decoder_init(agent->decoder);
	agent_session_end_all();
	agent_drop_out();
}

bool agent_receive(void)
{
	uint8_t bytes[RECEIVE_BYTES];
	uint32_t opens = agent->opens;
	int n = console_receive(agent->link, bytes, sizeof(bytes), &opens);
	size_t at = 0, taken;
	struct frame f;

	if (n <= 0)
		return false;
	if (opens != agent->opens)
		start_afresh(opens);
	while (frame_decode(agent->decoder, bytes + at, (size_t)n - at, &taken, &f)) {
		at += taken;
		serve(&f);
	}
	return true;
}
