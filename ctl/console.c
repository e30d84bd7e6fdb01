/* SPDX-License-Identifier: MIT */
/*
 * console: the terminal becomes the guest's until ^]. Where input is no terminal it is a script:
 * its lines go to the guest one by one, each after the answer to the one before, so that output is
 * never more than theseus-vmm keeps for a slow reader, and that the last answer has come at the
 * end. The guest says that an answer is complete by returning ^D, which it gets after each line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "target.h"
#include "transport.h"
#include "util.h"

#define DETACH_KEY 0x1d      /* ^] */
#define END_OF_ANSWER '\x04' /* ^D */
#define DOMAIN_OPEN_LIMIT_NS (10 * NS_PER_SEC)
#define LINE_LIMIT_NS (60 * NS_PER_SEC)

struct console {
	struct ctl *ctl;
	const char *name;
	struct client *cl;      /* through theseus-vmm, */
	struct transport *link; /* or a libvirt console: one of the two is NULL */
	uint64_t end_id;        /* theseus-vmm's answer to this says how the VM ended */
	bool detach;
	int output_error; /* errno */

	/* of a script */
	bool script;
	uint64_t line_limit_ns;
	bool ended;         /* nothing is left to be read */
	bool line_open;     /* bytes behind the last newline were sent */
	bool answered;      /* all that was sent */
	bool column_0;      /* where output ended */
	uint64_t answer_by; /* else */
	uint8_t keys[1024];
	size_t keys_at, keys_end; /* read, not sent yet */
};

/* ---- the terminal ---- */

/* For the handler: a signal that ends us at any point must leave the terminal as it was. */
static struct termios saved_terminal;

static void on_signal(int sig)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
	(void)raise(sig); /* by its default action, once this returns */
}

static void terminal_raw(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved_terminal))
		return;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
	t = saved_terminal;
	cfmakeraw(&t);
	t.c_oflag |= OPOST | ONLCR; /* messages of ours end with a newline alone */
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
}

/* The handlers stay: they would set the same once more. */
static void terminal_restore(void)
{
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_terminal);
	(void)fputc('\n', stderr);
}

/* ---- output ---- */

/* A script's output has plain lines, and no marks. */
static size_t take_marks(struct console *con, uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (data[i] == END_OF_ANSWER)
			con->answered = true;
		else if (data[i] != '\r')
			data[n++] = data[i];
	}
	if (n)
		con->column_0 = data[n - 1] == '\n';
	return n;
}

static void put_output(struct console *con, const uint8_t *data, size_t len)
{
	uint8_t plain[4096];

	while (len && !con->output_error) {
		size_t piece = len < sizeof(plain) ? len : sizeof(plain), n = piece;

		memcpy(plain, data, piece);
		if (con->script)
			n = take_marks(con, plain, piece);
		errno = 0;
		if (fwrite(plain, 1, n, stdout) != n || fflush(stdout))
			con->output_error = errno ? errno : EIO;
		data += piece;
		len -= piece;
	}
}

static void on_console(struct client *cl, const uint8_t *data, size_t len, void *arg)
{
	(void)cl;
	put_output(arg, data, len);
}

/* ---- input ---- */

static int send_keys(struct console *con, const uint8_t *data, size_t len)
{
	int r;

	if (!len)
		return 0;
	if (con->cl)
		return client_send_console(con->cl, data, len);
	r = transport_write_all(con->link, data, len, now_ns() + CLIENT_LIMIT_NS);
	return r ? ctl_error(con->ctl, CTL_LOST, "guest-lost", "%s: the console: %s", con->name,
			     strerror(-r))
		 : 0;
}

/* Result: bytes, 0 = the end, -EAGAIN, or an exit status with the error set as *ret_status. */
static ssize_t read_keys(struct console *con, uint8_t *keys, size_t size, int *ret_status)
{
	ssize_t n = read(STDIN_FILENO, keys, size);

	*ret_status = 0;
	if (n >= 0)
		return n;
	if (errno != EINTR && errno != EAGAIN)
		*ret_status =
			ctl_error(con->ctl, CTL_FAILED, "system", "stdin: %s", strerror(errno));
	return -EAGAIN;
}

/* Keys up to the one that detaches go to the guest. */
static int take_keys(struct console *con)
{
	uint8_t *end;
	ssize_t n;
	int r;

	n = read_keys(con, con->keys, sizeof(con->keys), &r);
	if (n < 0)
		return r;
	end = memchr(con->keys, DETACH_KEY, (size_t)n);
	con->detach = end || n == 0; /* or the terminal is gone */
	return send_keys(con, con->keys, end ? (size_t)(end - con->keys) : (size_t)n);
}

static int read_script(struct console *con)
{
	uint8_t *end;
	ssize_t n;
	int r;

	n = read_keys(con, con->keys, sizeof(con->keys), &r);
	if (n < 0)
		return r;
	end = memchr(con->keys, DETACH_KEY, (size_t)n);
	con->keys_at = 0;
	con->keys_end = end ? (size_t)(end - con->keys) : (size_t)n;
	con->ended = end || n == 0;
	return 0;
}

/* Has the guest say when all that it got is answered. */
static int ask_for_end(struct console *con)
{
	static const uint8_t end[] = {'\n', END_OF_ANSWER};
	int r = con->line_open ? send_keys(con, end, 2) : send_keys(con, end + 1, 1);

	con->line_open = con->answered = false;
	con->answer_by = now_ns() + con->line_limit_ns;
	return r;
}

/* Sends what is there of one line. */
static int send_line(struct console *con)
{
	const uint8_t *keys = con->keys + con->keys_at;
	size_t n = con->keys_end - con->keys_at;
	const uint8_t *newline = memchr(keys, '\n', n);
	int r;

	if (newline)
		n = (size_t)(newline - keys) + 1;
	r = send_keys(con, keys, n);
	con->keys_at += n;
	con->line_open = !newline;
	return r || !newline ? r : ask_for_end(con);
}

/* What can be done without input. Result: 0 or an exit status. */
static int script_on(struct console *con)
{
	int r = 0;

	while (!r && con->answered && con->keys_at < con->keys_end)
		r = send_line(con);
	if (r || !con->answered || !con->ended)
		return r;
	if (con->line_open)
		return ask_for_end(con);
	con->detach = true;
	return 0;
}

/* ---- between the two ---- */

static int wait_link(struct console *con, struct transport_watch *watch, size_t n_watches)
{
	uint64_t deadline = con->answered ? UINT64_MAX : con->answer_by;
	uint8_t buf[4096];
	ssize_t n;
	int r;

	if (con->cl) {
		CLEANUP_VM_RESPONSE Theseus__VmResponse *end = NULL;

		r = client_wait(con->cl, watch, n_watches, con->end_id, deadline, &end);
		return end || r == CTL_LOST ? client_lost(con->cl, end) : r;
	}
	r = transport_wait(con->link, TRANSPORT_READ, watch, n_watches, deadline);
	if (r == -ETIMEDOUT)
		return CTL_TIMED_OUT;
	n = r > 0 ? transport_read(con->link, buf, sizeof(buf)) : -EAGAIN;
	if (r < 0 || n == 0 || (n < 0 && n != -EAGAIN))
		return ctl_error(con->ctl, CTL_LOST, "guest-lost",
				 "%s: the VM has ended: its console was closed", con->name);
	if (n > 0)
		put_output(con, buf, (size_t)n);
	return 0;
}

static int too_late(struct console *con)
{
	char buf[FORMAT_MAX];

	return ctl_error(con->ctl, CTL_TIMED_OUT, "timed-out",
			 "%s: a line of the input is not answered within %s (see --timeout)",
			 con->name, format_ns(con->line_limit_ns, buf));
}

static int loop(struct console *con)
{
	int r = con->script ? ask_for_end(con) : 0; /* also an empty script has an end */

	while (!r && !con->detach) {
		struct transport_watch keys = {.fd = STDIN_FILENO};

		r = wait_link(con, &keys, con->answered && !con->ended);
		if (r == CTL_TIMED_OUT)
			r = too_late(con);
		if (!r && con->output_error)
			r = ctl_error(con->ctl, CTL_FAILED, "system", "stdout: %s",
				      strerror(con->output_error));
		if (!r && keys.ready)
			r = con->script ? read_script(con) : take_keys(con);
		if (!r && con->script)
			r = script_on(con);
	}
	if (con->script && !con->column_0 && !con->output_error)
		(void)putchar('\n');
	return r;
}

static int attach(struct console *con, const struct target *target)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *response = NULL;
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmConsole console = THESEUS__VM_CONSOLE__INIT;
	int r;

	if (target->kind == TARGET_DOMAIN)
		return transport_open_domain(con->ctl, con->ctl->connect, target->name,
					     TRANSPORT_DOMAIN_CONSOLE, DOMAIN_OPEN_LIMIT_NS,
					     &con->link);
	r = client_open(con->ctl, target, &con->cl);
	if (r)
		return r;
	con->cl->on_console = on_console;
	con->cl->arg = con;
	console.attach = true;
	req.body_case = THESEUS__VM_REQUEST__BODY_CONSOLE;
	req.console = &console;
	r = client_call_vm(con->cl, &req, 0, &response);
	if (r)
		return r;
	con->cl->greeted = true; /* from here on a closed link means that the VM ended */
	return client_post_wait(con->cl, &con->end_id);
}

int cmd_console(struct ctl *c, int argc, char **argv)
{
	struct console con = {.ctl = c,
			      .script = !isatty(STDIN_FILENO),
			      .answered = true,
			      .column_0 = true,
			      .line_limit_ns = LINE_LIMIT_NS};
	struct target target;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r)
		r = ctl_option_duration(c, "timeout", &con.line_limit_ns);
	if (!r && c->json)
		r = ctl_error(c, CTL_USAGE, "usage", "the console is bytes; it has no --json");
	if (!r) {
		con.name = target.name;
		r = attach(&con, &target);
	}
	if (!r && con.script) {
		r = loop(&con);
	} else if (!r) {
		ctl_note(c, "attached to %s; ^] detaches", target.name);
		terminal_raw();
		r = loop(&con);
		terminal_restore();
		if (!r)
			ctl_note(c, "detached from %s", target.name);
	}
	client_close(con.cl);
	transport_close(con.link);
	return r;
}
