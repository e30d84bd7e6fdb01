/* SPDX-License-Identifier: MIT */
#include "agent.h"

static void end(struct agent_session *s)
{
	agent_log_unfollow(s);
	agent_upload_drop(&s->upload);
	*s = (struct agent_session){0};
}

/* A free entry, or that of the client that was silent for longest and holds nothing. */
static struct agent_session *entry(void)
{
	struct agent_session *oldest = NULL;

	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		struct agent_session *s = &agent->sessions[i];

		if (!s->used)
			return s;
		if (!s->follows && s->upload.size == 0 && (!oldest || s->last_ns < oldest->last_ns))
			oldest = s;
	}
	if (oldest)
		end(oldest);
	return oldest;
}

struct agent_session *agent_session_get(uint32_t id)
{
	struct agent_session *s = NULL;

	for (unsigned i = 0; i < AGENT_SESSIONS_MAX && !s; i++) {
		if (agent->sessions[i].used && agent->sessions[i].id == id)
			s = &agent->sessions[i];
	}
	if (!s) {
		s = entry();
		if (!s)
			return NULL;
		*s = (struct agent_session){.used = true, .id = id, .serial = ++agent->next_serial};
	}
	s->last_ns = clock_now_ns();
	return s;
}

struct agent_session *agent_session_of(const struct agent_requester *to)
{
	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		if (agent->sessions[i].used && agent->sessions[i].serial == to->serial)
			return &agent->sessions[i];
	}
	return NULL;
}

void agent_session_end(uint32_t id)
{
	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		if (agent->sessions[i].used && agent->sessions[i].id == id)
			end(&agent->sessions[i]);
	}
}

void agent_session_end_all(void)
{
	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		if (agent->sessions[i].used)
			end(&agent->sessions[i]);
	}
}
