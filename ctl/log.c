/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdio.h>

#include "commands.h"
#include "render.h"
#include "util.h"

#define RECORDS_A_REQUEST 200
/* Without a limit a guest that answers "there is more" for ever would keep us for ever. */
#define RECORDS_MAX 1000000

static void print_record(const struct log_view *v, const Theseus__LogRecord *record, uint64_t lost)
{
	if (record->time_ns >= v->since_ns)
		(v->cl->ctl->json ? json_log : text_log)(v->cl->ctl, record, lost);
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
	return client_call(v->cl, &req, 0, ret_response);
}

int log_fetch(struct log_view *v, bool follow)
{
	for (uint64_t n = 0; n < RECORDS_MAX;) {
		CLEANUP_RESPONSE Theseus__Response *response = NULL;
		const Theseus__LogReply *log;
		int r = fetch_some(v, follow, &response);

		if (r)
			return r;
		log = response->body_case == THESEUS__RESPONSE__BODY_LOG ? response->log : NULL;
		if (!log)
			return client_fail(v->cl, -EPROTO, 0);
		n += log->n_records;
		for (size_t i = 0; i < log->n_records; i++) {
			const Theseus__LogRecord *record = log->records[i];

			/* an event may have brought it while this answer was under way */
			if (record->seq < v->next_seq)
				continue;
			print_record(v, record, i ? 0 : log->lost);
			v->next_seq = record->seq + 1;
		}
		if (!log->n_records)
			return 0;
	}
	return 0;
}

void log_on_event(struct client *cl, const Theseus__Event *event, void *arg)
{
	struct log_view *v = arg;

	(void)cl;
	if (event->body_case != THESEUS__EVENT__BODY_LOG || v->gap || event->log->seq < v->next_seq)
		return;
	if (event->log->seq > v->next_seq) {
		v->gap = true;
		return;
	}
	print_record(v, event->log, 0);
	v->next_seq++;
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
	r = client_call(cl, &req, 0, &response);
	if (r)
		return r;
	if (response->body_case != THESEUS__RESPONSE__BODY_GUEST)
		return client_fail(cl, -EPROTO, 0);
	*ret_ns = response->guest->uptime_ns;
	return 0;
}

static int follow(struct log_view *v)
{
	Theseus__VmResponse *none;
	int r = 0;

	v->cl->on_event = log_on_event;
	v->cl->arg = v;
	r = log_fetch(v, true);
	while (!r) {
		r = log_fill(v);
		if (!r)
			r = client_wait(v->cl, NULL, 0, 0, UINT64_MAX, &none);
	}
	return r;
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
	return ctl_option(c, "follow") ? follow(&v) : log_fetch(&v, false);
}
