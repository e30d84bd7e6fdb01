/* SPDX-License-Identifier: MIT */
/*
 * Stage and swap. The worker `agent_change` checks and links, which takes long; the swap
 * itself is carried on by the swap cell, so that the agent has returned when it is replaced.
 *
 * One stage exists at a time. It belongs to the session that made it for as long as that is
 * open; afterwards anybody may swap or replace it.
 */
#include <string.h>

#include <theseus/heap.h>
#include <theseus/service.h>
#include <theseus/swap.h>

#include "agent.h"
#include "worker.h"

static struct agent_change *change(void)
{
	return &agent->change;
}

static uint32_t staging(void)
{
	return __atomic_load_n(&change()->state, __ATOMIC_ACQUIRE);
}

static void set_staging(uint32_t state)
{
	__atomic_store_n(&change()->state, state, __ATOMIC_RELEASE);
}

/* ---- what to say ---- */

static void fail_report(const struct agent_call *call, Theseus__Status status,
			const struct loader_report *report, const char *code, const char *message)
{
	agent_fail_reasons(call, status, report->code[0] ? report->code : code,
			   report->n_reasons ? report->reasons[0] : message, report->reasons[0],
			   report->n_reasons, sizeof(report->reasons[0]));
}

static Theseus__Status status_of(int error)
{
	switch (error) {
	case -EBUSY:
		return THESEUS__STATUS__STATUS_BUSY;
	case -ENOMEM:
		return THESEUS__STATUS__STATUS_NO_MEMORY;
	case -ETIMEDOUT:
		return THESEUS__STATUS__STATUS_TIMED_OUT;
	case -EPERM:
	case -EINVAL:
		return THESEUS__STATUS__STATUS_REFUSED;
	default:
		return THESEUS__STATUS__STATUS_FAILED;
	}
}

struct change_rows {
	Theseus__CellChange *list[SWAP_CHANGES_MAX];
	Theseus__CellChange rows[SWAP_CHANGES_MAX];
	struct loader_change changes[SWAP_CHANGES_MAX];
};

static size_t list_changes(struct change_rows *c, uint64_t id)
{
	size_t n = 0;

	for (; n < SWAP_CHANGES_MAX && swap_change_at(id, (uint32_t)n, &c->changes[n]) == 0; n++) {
		struct loader_change *from = &c->changes[n];
		Theseus__CellChange *to = &c->rows[n];

		theseus__cell_change__init(to);
		to->name = from->name;
		to->old_version = from->old_version;
		to->new_version = from->new_version;
		if (from->old_version[0])
			to->old_hash = (ProtobufCBinaryData){sizeof(from->old_hash), from->old_hash};
		if (from->new_version[0])
			to->new_hash = (ProtobufCBinaryData){sizeof(from->new_hash), from->new_hash};
		c->list[n] = to;
	}
	return n;
}

/* ---- stage ---- */

/* Whether a new stage may take the place of the one that exists. */
static bool may_replace(const struct agent_session *s)
{
	const struct agent_requester owner = {.serial = change()->owner};

	return change()->staged == 0 || change()->owner == s->serial || !agent_session_of(&owner);
}

void agent_stage(const struct agent_call *call, struct agent_session *s)
{
	struct agent_change *c = change();

	if (s->upload.size == 0 || s->upload.received < s->upload.size) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload",
			   s->upload.size == 0 ? "nothing was uploaded in this session"
					       : "the upload is not complete");
		return;
	}
	if (staging() != AGENT_JOB_FREE || c->swapping || !may_replace(s)) {
		agent_fail(call, THESEUS__STATUS__STATUS_BUSY, "busy",
			   c->swapping ? "a swap is under way" : "another client is staging a bundle");
		return;
	}
	if (c->staged)
		(void)swap_drop(c->staged);
	c->staged = 0;
	c->owner = s->serial;
	c->call = *call;
	c->upload = TAKE(s->upload);
	set_staging(AGENT_JOB_QUEUED);
	agent_wake_change();
}

/* In the worker: `change` is its own from QUEUED to DONE. */
static void check_and_stage(struct agent_change *c)
{
	uint8_t digest[32];

	memset(&c->report, 0, sizeof(c->report));
	loader_sha256(c->upload.bytes, c->upload.size, digest);
	if (memcmp(digest, c->upload.sha256, sizeof(digest)) != 0)
		c->error = -EBADMSG;
	else
		c->error = swap_stage(c->upload.bytes, c->upload.size, &c->id, &c->report);
}

struct service_next agent_change_step(void)
{
	if (staging() == AGENT_JOB_QUEUED) {
		check_and_stage(change());
		set_staging(AGENT_JOB_DONE);
		agent_wake();
	}
	return service_wait(CLOCK_NEVER);
}

static void answer_stage(struct agent_change *c)
{
	OWNED(heap_drop) struct change_rows *rows = heap_alloc(CELL_SELF, sizeof(*rows));
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__StageReply reply = THESEUS__STAGE_REPLY__INIT;
	struct swap_result result;

	if (!rows || swap_result(c->id, &result) < 0) {
		(void)swap_drop(c->id);
		agent_fail(&c->call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
			   "the guest has no memory for the answer");
		return;
	}
	c->staged = c->id;
	reply.stage = c->id;
	reply.stage_ns = result.stage_ns;
	reply.n_cells = list_changes(rows, c->id);
	reply.cells = rows->list;
	r.body_case = THESEUS__RESPONSE__BODY_STAGE;
	r.stage = &reply;
	agent_answer(&c->call, &r);
}

static void collect_stage(struct agent_change *c)
{
	agent_upload_drop(&c->upload);
	if (c->error == 0)
		answer_stage(c);
	else if (c->error == -EBADMSG)
		agent_fail(&c->call, THESEUS__STATUS__STATUS_REFUSED, "bad-hash",
			   "the SHA-256 of the upload is not what its sender said");
	else
		fail_report(&c->call, status_of(c->error), &c->report, "bad-bundle",
			    "the bundle was refused");
	set_staging(AGENT_JOB_FREE);
}

void agent_stage_drop(const struct agent_call *call, const Theseus__StageDrop *m)
{
	struct agent_change *c = change();

	if (c->staged == 0 || m->stage != c->staged) {
		agent_fail(call, THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-stage",
			   "there is no stage %llu", (unsigned long long)m->stage);
		return;
	}
	if (c->swapping || swap_drop(c->staged) == -EBUSY) {
		agent_fail(call, THESEUS__STATUS__STATUS_BUSY, "busy", "the stage is being swapped in");
		return;
	}
	c->staged = 0;
	agent_done(call);
}

/* ---- swap ---- */

void agent_swap(const struct agent_call *call, const Theseus__Swap *m, uint64_t limit_ns)
{
	const struct swap_options options = {
		.dry_run = m->dry_run,
		.has_expect_generation = m->has_expect_generation,
		.expect_generation = m->expect_generation,
		.timeout_ns = limit_ns,
	};
	struct agent_change *c = change();

	if (c->staged == 0 || m->stage != c->staged) {
		agent_fail(call, THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-stage",
			   "there is no stage %llu", (unsigned long long)m->stage);
		return;
	}
	if (c->swapping || agent_swap_start(c->staged, &options) < 0) {
		agent_fail(call, THESEUS__STATUS__STATUS_BUSY, "busy", "the stage is being swapped in");
		return;
	}
	c->swapping = true;
	c->dry_run = m->dry_run;
	c->call = *call;
}

static void fill_swap(Theseus__SwapReply *reply, struct change_rows *rows, uint64_t id,
		      const struct swap_result *result)
{
	theseus__swap_reply__init(reply);
	reply->generation = result->generation;
	reply->n_cells = list_changes(rows, id);
	reply->cells = rows->list;
	reply->stage_ns = result->stage_ns;
	reply->quiesce_ns = result->quiesce_ns;
	reply->pause_ns = result->pause_ns;
	reply->bytes_freed = result->bytes_freed;
	reply->quarantined_bytes = result->bytes_quarantined;
	reply->total_ns = result->total_ns;
	reply->result = agent_text(swap_result_word(result));
}

static void tell_everybody(Theseus__SwapReply *reply)
{
	for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++) {
		Theseus__Event event = THESEUS__EVENT__INIT;

		if (!agent->sessions[i].used)
			continue;
		event.body_case = THESEUS__EVENT__BODY_SWAP;
		event.swap = reply;
		agent_event(&agent->sessions[i], &event);
	}
}

static void answer_swap(struct agent_change *c, const struct swap_result *result)
{
	OWNED(heap_drop) struct change_rows *rows = heap_alloc(CELL_SELF, sizeof(*rows));
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__SwapReply reply;

	if (!rows) {
		agent_fail(&c->call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
			   "the swap ended as \"%s\", but the guest has no memory for the answer",
			   swap_result_word(result));
		return;
	}
	fill_swap(&reply, rows, c->staged, result);
	r.body_case = THESEUS__RESPONSE__BODY_SWAP;
	r.swap = &reply;
	/*
	 * The answer comes last: its receiver may close the link at once, and what QEMU cannot
	 * deliver then it keeps, page and all, until the device is reset.
	 */
	if (result->state == SWAP_FINALISED)
		tell_everybody(&reply);
	agent_answer(&c->call, &r);
}

static void collect_swap(struct agent_change *c)
{
	struct loader_report report = {0};
	struct swap_result result;

	if (swap_result(c->staged, &result) < 0) {
		agent_fail(&c->call, THESEUS__STATUS__STATUS_FAILED, "lost",
			   "the swap cell has forgotten the stage");
		c->swapping = false;
		c->staged = 0;
		return;
	}
	if (result.running)
		return;
	c->swapping = false;
	if (swap_report(c->staged, &report) < 0)
		report.n_reasons = 0;
	if (result.state == SWAP_CANCELLED)
		fail_report(&c->call, status_of(result.error), &report, "cancelled",
			    "the swap was cancelled");
	else if (result.state == SWAP_REFUSED || (c->dry_run && report.n_reasons))
		fail_report(&c->call, THESEUS__STATUS__STATUS_REFUSED, &report, "refused",
			    "the swap was refused");
	else
		answer_swap(c, &result);
	if (swap_is_over(result.state))
		c->staged = 0;
}

void agent_change_collect(void)
{
	struct agent_change *c = change();

	if (staging() == AGENT_JOB_DONE)
		collect_stage(c);
	if (c->swapping)
		collect_swap(c);
}
