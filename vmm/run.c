/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "api.h"
#include "log.h"
#include "machine-kvm.h"
#include "machine-tcg.h"
#include "marks.h"
#include "resident.h"
#include "rundir.h"
#include "sandbox.h"
#include "version.h"

#define LOG_BYTES (10ull << 20)
#define LOG_FILES 5u
#define FLUSH_MS 2000u /* for clients to read their last answers */

struct run {
	const struct run_config *config;
	uv_loop_t loop;
	uv_signal_t term, interrupt, hangup;
	struct rundir rundir;
	struct log *log;
	struct log_stream com1, console;
	struct api *api;
	struct machine *machine;
	const char *accel;
	char accel_reason[sizeof(((struct failure *)0)->text) + 64];
	bool stop_asked;
	int ready_fd;
	enum end_status status;
};

/* ---- the line for whoever started us ---- */

static void ready_line(struct run *r, const char *line, int len)
{
	if (r->ready_fd < 0 || len < 0)
		return;
	if (write(r->ready_fd, line, (size_t)len) < 0)
		log_printf(r->log, "vmm", "cannot write to the ready descriptor: %s, ignoring",
			   strerror(errno));
	(void)close(r->ready_fd);
	r->ready_fd = -1;
}

/* Escapes for a JSON string; control bytes become spaces. */
static void json_text(const char *in, char *out, size_t size)
{
	size_t n = 0;

	for (; *in && n + 2 < size; in++) {
		if (*in == '"' || *in == '\\')
			out[n++] = '\\';
		out[n++] = (unsigned char)*in < 0x20 ? ' ' : *in;
	}
	out[n] = '\0';
}

static void ready_error(struct run *r, const char *text)
{
	char escaped[1024], line[1100];

	json_text(text, escaped, sizeof(escaped));
	ready_line(r, line, snprintf(line, sizeof(line), "{\"error\":\"%s\"}\n", escaped));
}

/* ---- what the machine reports ---- */

static void on_received(void *ctx, enum guest_port port, const uint8_t *data, size_t len)
{
	struct run *r = ctx;

	if (port == GUEST_PORT_CONSOLE)
		log_stream_write(r->log, &r->console, data, len);
	api_received(r->api, port, data, len);
}

static void on_writable(void *ctx, enum guest_port port)
{
	api_writable(((struct run *)ctx)->api, port);
}

static void on_opened(void *ctx, enum guest_port port, bool open)
{
	api_opened(((struct run *)ctx)->api, port, open);
}

static void on_text(void *ctx, const uint8_t *data, size_t len)
{
	struct run *r = ctx;

	log_stream_write(r->log, &r->com1, data, len);
}

static void on_note(void *ctx, const char *text)
{
	log_printf(((struct run *)ctx)->log, "vmm", "%s", text);
}

static void on_ended(void *ctx, const struct machine_end *end)
{
	struct run *r = ctx;
	struct machine_end told = *end;

	r->status = end_describe(&told);
	log_stream_flush(r->log, &r->com1);
	log_stream_flush(r->log, &r->console);
	log_printf(r->log, "vmm", "%s (status %d)", told.text, r->status);
	ready_error(r, told.text);
	api_ended(r->api, &told, FLUSH_MS);
	uv_close((uv_handle_t *)&r->term, NULL);
	uv_close((uv_handle_t *)&r->interrupt, NULL);
	uv_close((uv_handle_t *)&r->hangup, NULL);
}

/* ---- what the API wants ---- */

static size_t api_send(void *ctx, enum guest_port port, const void *data, size_t len)
{
	struct run *r = ctx;

	return r->machine->ops->send(r->machine, port, data, len);
}

static void api_stop(void *ctx)
{
	struct run *r = ctx;

	r->machine->ops->stop(r->machine);
}

static void api_ready(void *ctx, uint64_t ready_ns)
{
	struct run *r = ctx;
	char line[128];

	marks_add("ready");
	log_printf(r->log, "vmm", "the guest is ready after %" PRIu64 " us", ready_ns / 1000);
	ready_line(r, line,
		   snprintf(line, sizeof(line),
			    "{\"ready_ns\":%" PRIu64 ",\"accel\":\"%s\",\"pid\":%ld}\n", ready_ns,
			    r->accel, (long)getpid()));
}

static uint64_t api_resident(void *ctx)
{
	struct run *r = ctx;
	size_t size;
	const void *ram = r->machine->ops->ram(r->machine, &size);

	return resident_without(ram, size);
}

static uint64_t api_clock(void *ctx)
{
	(void)ctx;
	return marks_now();
}

/* ---- signals ---- */

/*
 * SIGTERM may come twice for one stop (timeout(1) signals the process and its group), so only
 * a second ^C means "now".
 */
static void on_stop_signal(uv_signal_t *s, int signum)
{
	struct run *r = s->data;
	bool now = signum == SIGINT && r->stop_asked;

	if (r->stop_asked && !now)
		return;
	log_printf(r->log, "vmm", "signal %d: %s", signum,
		   now ? "ending the guest" : "asking the guest to power off");
	r->stop_asked = true;
	if (now)
		r->machine->ops->stop(r->machine);
	else
		api_shut_down(r->api);
}

static void on_hangup(uv_signal_t *s, int signum)
{
	struct run *r = s->data;
	int e = log_reopen(r->log);

	(void)signum;
	if (e < 0)
		log_printf(r->log, "vmm", "cannot reopen %s: %s; writing on to the old one",
			   log_path(r->log), strerror(-e));
}

static int watch_signals(struct run *r, struct failure *f)
{
	const struct {
		uv_signal_t *handle;
		int signum;
		uv_signal_cb cb;
	} rows[] = {
		{&r->term, SIGTERM, on_stop_signal},
		{&r->interrupt, SIGINT, on_stop_signal},
		{&r->hangup, SIGHUP, on_hangup},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int e = uv_signal_init(&r->loop, rows[i].handle);

		if (!e)
			e = uv_signal_start(rows[i].handle, rows[i].cb, rows[i].signum);
		if (e)
			return failure(f, e, "cannot watch signal %d: %s", rows[i].signum,
				       uv_strerror(e));
		rows[i].handle->data = r;
	}
	return 0;
}

/* ---- start ---- */

static int open_log(struct run *r, struct failure *f)
{
	char path[PATH_MAX];
	int e;

	if (r->config->log) {
		(void)snprintf(path, sizeof(path), "%s", r->config->log);
	} else {
		e = rundir_log_path(r->config->name, path, f);
		if (e < 0)
			return e;
	}
	e = log_open(path, LOG_BYTES, LOG_FILES, &r->log);
	return e < 0 ? failure(f, e, "cannot open the log %s: %s", path, strerror(-e)) : 0;
}

static int confine_vcpu(void)
{
	return sandbox_enter(SANDBOX_VCPU);
}

static int new_machine(struct run *r, struct failure *f)
{
	const struct machine_events events = {
		.ctx = r,
		.received = on_received,
		.writable = on_writable,
		.opened = on_opened,
		.text = on_text,
		.note = on_note,
		.ended = on_ended,
	};
	struct machine_config config = r->config->machine;
	struct vm vm;
	int e;

	config.confine_vcpu = r->config->sandbox ? confine_vcpu : NULL;
	if (r->config->accel != ACCEL_TCG) {
		e = vm_open(&vm, f);
		marks_add("kvm");
		if (e == 0) {
			r->accel = "kvm";
			if (r->config->accel == ACCEL_AUTO)
				(void)snprintf(r->accel_reason, sizeof(r->accel_reason),
					       "/dev/kvm is usable");
			return machine_kvm_new(&config, &vm, &r->loop, &events, &r->machine, f);
		}
		if (r->config->accel == ACCEL_KVM)
			return e;
		(void)snprintf(r->accel_reason, sizeof(r->accel_reason), "KVM is not usable: %s",
			       f->text);
	}
	r->accel = "tcg";
	return machine_tcg_new(&config, &r->loop, &events, &r->machine, f);
}

static int new_api(struct run *r, struct failure *f)
{
	const struct api_owner owner = {
		.ctx = r,
		.send = api_send,
		.stop = api_stop,
		.ready = api_ready,
		.log = on_note,
		.resident = api_resident,
		.now = api_clock,
	};
	const struct api_config config = {
		.name = r->config->name,
		.accel = r->accel,
		.accel_reason = r->accel_reason,
		.log_path = log_path(r->log),
		.cpus = r->config->machine.cpus,
		.memory = r->config->machine.memory,
		.half_frame_ns = API_HALF_FRAME_NS,
	};
	int e = api_new(&r->loop, &config, &owner, &r->api);

	if (e < 0)
		return failure(f, e, "cannot serve the operator's socket: %s", strerror(-e));
	e = api_listen(r->api, r->rundir.listen_fd, geteuid());
	if (e < 0)
		return failure(f, e, "cannot serve %s: %s", r->rundir.sock, strerror(-e));
	r->rundir.listen_fd = -1;
	return 0;
}

/* Everything is open and every thread exists: give up what is not needed any more. */
static int confine(struct run *r, struct failure *f)
{
	bool kvm = !strcmp(r->accel, "kvm");
	int e = r->config->sandbox ? sandbox_enter(kvm ? SANDBOX_LOOP : SANDBOX_LOOP_TCG) : 0;

	if (e < 0)
		return failure(f, e, "cannot confine this process: %s", strerror(-e));
	if (!r->config->sandbox || !sandbox_active())
		log_printf(r->log, "vmm", "running without seccomp filters (%s)",
			   r->config->sandbox ? "this is a sanitizer build" : "--no-sandbox");
	return 0;
}

static int set_up(struct run *r, struct failure *f)
{
	const struct machine_config *m = &r->config->machine;
	int e = rundir_claim(&r->rundir, r->config->name, r->config->socket, f);

	if (e < 0)
		return e;
	e = open_log(r, f);
	if (e < 0)
		return e;
	e = sandbox_prepare(log_fd(r->log));
	if (e < 0)
		return failure(f, e, "cannot limit this process: %s", strerror(-e));
	marks_add("files");
	e = new_machine(r, f);
	if (e < 0)
		return e;
	marks_add("machine");
	e = new_api(r, f);
	if (e < 0)
		return e;
	e = watch_signals(r, f);
	if (e < 0)
		return e;
	log_printf(r->log, "vmm",
		   "theseus-vmm " VERSION ": %s, accel %s%s%s%s, %u vCPUs, %" PRIu64
		   " MiB, guest %s, bundle %s",
		   r->config->name, r->accel, *r->accel_reason ? " (" : "", r->accel_reason,
		   *r->accel_reason ? ")" : "", m->cpus, m->memory >> 20, m->guest,
		   m->bundle ? m->bundle : "none");
	return confine(r, f);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void tear_down(struct run *r)
{
	rundir_release(&r->rundir);
	if (r->machine)
		r->machine->ops->free(r->machine);
	api_free(r->api);
	log_close(r->log);
	(void)uv_loop_close(&r->loop);
}

/* Nothing has run yet; handles of what is half made are closed. */
static void give_up(struct run *r, const struct failure *f)
{
	(void)fprintf(stderr, "theseus-vmm: %s\n", f->text);
	if (r->log)
		log_printf(r->log, "vmm", "not started: %s", f->text);
	ready_error(r, f->text);
	if (r->machine)
		r->machine->ops->stop(r->machine);
	if (r->api)
		api_close(r->api);
	(void)uv_run(&r->loop, UV_RUN_NOWAIT);
	uv_walk(&r->loop, close_handle, NULL);
	(void)uv_run(&r->loop, UV_RUN_DEFAULT);
}

enum end_status run(const struct run_config *config)
{
	struct run r = {
		.config = config,
		.rundir = {.lock_fd = -1, .listen_fd = -1},
		.com1 = {.source = "com1"},
		.console = {.source = "console"},
		.ready_fd = config->ready_fd,
		.status = STATUS_NOT_STARTED,
	};
	struct failure f = {{0}};

	if (uv_loop_init(&r.loop) < 0) {
		(void)fprintf(stderr, "theseus-vmm: out of descriptors or memory\n");
		return STATUS_NOT_STARTED;
	}
	if (set_up(&r, &f) < 0) {
		give_up(&r, &f);
	} else {
		marks_add("start");
		r.machine->ops->start(r.machine);
		(void)uv_run(&r.loop, UV_RUN_DEFAULT);
	}
	tear_down(&r);
	return r.status;
}
