/* SPDX-License-Identifier: MIT */
#include <theseus/log.h>

#include <theseus/heap.h>

#include "agent.h"

#define RECORDS_MAX 200u        /* of one answer */
#define ANSWER_BYTES (48u << 10) /* of records in one answer: it has to fit a frame */
#define EVENTS_A_STEP 16u

struct log_rows {
	Theseus__LogRecord *list[RECORDS_MAX];
	Theseus__LogRecord rows[RECORDS_MAX];
	struct log_record records[RECORDS_MAX];
};

/* @from has to live as long as @to. */
static void fill(Theseus__LogRecord *to, struct log_record *from)
{
	theseus__log_record__init(to);
	to->seq = from->seq;
	to->time_ns = from->time_ns;
	to->level = from->level;
	to->cell = from->cell;
	to->task = from->task;
	to->text = from->text;
}

/* Collects records from @seq on. Result: how many; *@ret_next is where to go on. */
static size_t collect(struct log_rows *l, const Theseus__LogGet *m, uint64_t *ret_next,
		      uint64_t *ret_lost)
{
	uint32_t max = m->max_records && m->max_records < RECORDS_MAX ? m->max_records
								     : RECORDS_MAX;
	uint64_t seq = m->since_seq ? m->since_seq : 1, all_lost = 0, lost;
	size_t n = 0, bytes = 0;

	while (n < max && bytes < ANSWER_BYTES && log_read(seq, &l->records[n], &lost) == 0) {
		all_lost += lost;
		seq = l->records[n].seq + 1;
		if (l->records[n].time_ns < m->since_time_ns)
			continue;
		fill(&l->rows[n], &l->records[n]);
		l->list[n] = &l->rows[n];
		bytes += theseus__log_record__get_packed_size(&l->rows[n]) + 4;
		n++;
	}
	*ret_next = seq;
	*ret_lost = all_lost;
	return n;
}

void agent_log_get(const struct agent_call *call, struct agent_session *s, const Theseus__LogGet *m)
{
	OWNED(heap_drop) struct log_rows *l = heap_alloc(CELL_SELF, sizeof(*l));
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__LogReply reply = THESEUS__LOG_REPLY__INIT;

	if (!l) {
		agent_fail(call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
			   "the guest has no memory for the answer");
		return;
	}
	reply.n_records = collect(l, m, &reply.next_seq, &reply.lost);
	reply.records = l->list;
	if (m->follow) {
		if (!s->follows)
			__atomic_fetch_add(&agent->followers, 1, __ATOMIC_RELAXED);
		s->follows = true;
		s->log_next = reply.next_seq;
	}
	r.body_case = THESEUS__RESPONSE__BODY_LOG;
	r.log = &reply;
	agent_answer(call, &r);
}

void agent_log_unfollow(struct agent_session *s)
{
	if (s->follows)
		__atomic_fetch_sub(&agent->followers, 1, __ATOMIC_RELAXED);
	s->follows = false;
}

static bool push_one(struct agent_session *s)
{
	Theseus__Event event = THESEUS__EVENT__INIT;
	Theseus__LogRecord row;
	struct log_record record;
	uint64_t lost;

	if (log_read(s->log_next, &record, &lost) < 0)
		return false;
	fill(&row, &record);
	event.body_case = THESEUS__EVENT__BODY_LOG;
	event.log = &row;
	agent_event(s, &event);
	s->log_next = record.seq + 1;
	return true;
}

bool agent_log_push(void)
{
	bool more = false;

	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		struct agent_session *s = &agent->sessions[i];
		unsigned n = 0;

		if (!s->used || !s->follows)
			continue;
		/* who does not read gets the rest later, or sees the gap */
		while (n < EVENTS_A_STEP && agent->out_bytes < AGENT_OUT_MAX && push_one(s))
			n++;
		more |= n == EVENTS_A_STEP;
	}
	return more;
}
