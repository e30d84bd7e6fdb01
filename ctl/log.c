/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "render.h"
#include "util.h"

#define RECORDS_A_REQUEST 200
/* Without a limit a guest that answers "there is more" for ever would keep us for ever. */
#define RECORDS_MAX 1000000

/* Writes the records of @log that are new and late enough to @records. Result: their number. */
static size_t choose(struct log_view *v, const Theseus__LogReply *log,
		     const Theseus__LogRecord **records)
{
	size_t n = 0;

	for (size_t i = 0; i < log->n_records; i++) {
		const Theseus__LogRecord *record = log->records[i];

		/* an event may have brought it while this answer was under way */
		if (record->seq < v->next_seq)
			continue;
		v->next_seq = record->seq + 1;
		if (record->time_ns >= v->since_ns)
			records[n++] = record;
	}
	return n;
}

static void print_records(const struct log_view *v, const Theseus__LogRecord *const *records,
			  size_t n, uint64_t lost)
{
	if (n || lost)
		(v->cl->ctl->json ? json_log : text_log)(v->cl->ctl, records, n, lost);
}

/* Prints or keeps the records of @response, which is consumed. */
static int take_records(struct log_view *v, Theseus__Response *response)
{
	CLEANUP_RESPONSE Theseus__Response *own = response;
	CLEANUP_FREE const Theseus__LogRecord **records =
		calloc(response->log->n_records + 1, sizeof(*records));
	Theseus__Response **more;
	size_t n;

	if (!records)
		return ctl_oom(v->cl->ctl);
	n = choose(v, response->log, records);
	if (!v->keep) {
		print_records(v, records, n, response->log->lost);
		return 0;
	}
	more = reallocarray(v->kept, v->n_kept + 1, sizeof(Theseus__Response *));
	if (!more)
		return ctl_oom(v->cl->ctl);
	v->kept = more;
	v->kept[v->n_kept++] = own;
	own = NULL;
	return 0;
}

int log_finish(struct log_view *v, int status)
{
	CLEANUP_FREE const Theseus__LogRecord **records = NULL;
	uint64_t lost = 0;
	size_t n = 0;

	for (size_t i = 0; i < v->n_kept; i++)
		n += v->kept[i]->log->n_records;
	records = calloc(n + 1, sizeof(*records));
	n = 0;
	v->next_seq = 0;
	for (size_t i = 0; records && i < v->n_kept; i++) {
		lost += v->kept[i]->log->lost;
		n += choose(v, v->kept[i]->log, records + n);
	}
	if (!status && !records)
		status = ctl_oom(v->cl->ctl);
	if (!status && v->keep)
		(v->cl->ctl->json ? json_log : text_log)(v->cl->ctl, records, n, lost);
	for (size_t i = 0; i < v->n_kept; i++)
		theseus__response__free_unpacked(v->kept[i], NULL);
	free(v->kept);
	v->kept = NULL;
	v->n_kept = 0;
	return status;
}

static int fetch_some(struct log_view *v, bool follow, Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__LogGet get = THESEUS__LOG_GET__INIT;

	get.since_seq = v->next_seq;
	get.max_records = RECORDS_A_REQUEST;
	get.since_time_ns = v->since_ns;
	get.follow = follow;
	req.body_case = THESEUS__REQUEST__BODY_LOG;
	req.log = &get;
	return client_call(v->cl, &req, 0, THESEUS__RESPONSE__BODY_LOG, ret_response);
}

int log_fetch(struct log_view *v, bool follow)
{
	for (uint64_t asked = 0; asked < RECORDS_MAX;) {
		Theseus__Response *response = NULL;
		size_t n;
		int r = fetch_some(v, follow, &response);

		if (r)
			return r;
		n = response->log->n_records;
		asked += n;
		r = take_records(v, response);
		if (r || !n)
			return r;
	}
	return 0;
}

void log_on_event(struct client *cl, const Theseus__Event *event, void *arg)
{
	struct log_view *v = arg;
	const Theseus__LogRecord *record = event->log;

	(void)cl;
	if (event->body_case != THESEUS__EVENT__BODY_LOG || v->gap || record->seq < v->next_seq)
		return;
	if (record->seq > v->next_seq) {
		v->gap = true;
		return;
	}
	v->next_seq++;
	if (record->time_ns >= v->since_ns)
		print_records(v, &record, 1, 0);
}

int log_fill(struct log_view *v)
{
	int r = 0;

	/* While the answer is under way the next gap may show. */
	while (v->gap && !r) {
		v->gap = false;
		r = log_fetch(v, false);
	}
	return r;
}

static int guest_uptime(struct client *cl, uint64_t *ret_ns)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__StatusGet get = THESEUS__STATUS_GET__INIT;
	int r;

	req.body_case = THESEUS__REQUEST__BODY_STATUS;
	req.status = &get;
	r = client_call(cl, &req, 0, THESEUS__RESPONSE__BODY_GUEST, &response);
	if (r)
		return r;
	*ret_ns = response->guest->uptime_ns;
	return 0;
}

/* Until the VM ends, or nobody takes what is printed any more. */
static int follow(struct log_view *v)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *end = NULL;
	uint64_t end_id = 0;
	int r = 0;

	v->cl->on_event = log_on_event;
	v->cl->arg = v;
	r = log_fetch(v, true);
	if (!r && v->cl->target->kind == TARGET_SOCKET)
		r = client_post_wait(v->cl, &end_id);
	while (!r && !end && !ferror(stdout)) {
		r = log_fill(v);
		if (!r)
			r = client_wait(v->cl, NULL, 0, end_id, UINT64_MAX, &end);
	}
	return end || r == CTL_LOST ? client_lost(v->cl, end) : r;
}

int cmd_log(struct ctl *c, int argc, char **argv)
{
	CLEANUP_CLIENT struct client *cl = NULL;
	struct log_view v = {0};
	struct target target;
	uint64_t since = 0, uptime = 0;
	int r = ctl_option_duration(c, "since", &since);

	(void)argc;
	(void)argv;
	if (!r)
		r = target_resolve(c, TARGET_READS, &target);
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r && ctl_option(c, "since"))
		r = guest_uptime(cl, &uptime);
	if (r)
		return r;
	v.cl = cl;
	v.since_ns = uptime > since ? uptime - since : 0;
	if (ctl_option(c, "follow"))
		return follow(&v);
	v.keep = c->json;
	return log_finish(&v, log_fetch(&v, false));
}
