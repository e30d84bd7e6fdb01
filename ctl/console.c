/* SPDX-License-Identifier: MIT */
/*
 * console: the terminal becomes the guest's until ^]. Signals that would end us come through
 * a descriptor, so that the terminal is always given back as it was.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "target.h"
#include "transport.h"
#include "util.h"

#define DETACH_KEY 0x1d /* ^] */
#define DOMAIN_OPEN_LIMIT_NS (10 * NS_PER_SEC)

struct console {
	struct ctl *ctl;
	struct client *cl;      /* through theseus-vmm, */
	struct transport *link; /* or a libvirt console: one of the two is NULL */
	struct transport_watch watches[2];
	size_t n_watches; /* signals first; without keys once the input has ended */
	struct termios saved;
	bool raw, detach;
};

static int signal_fd(struct ctl *c, sigset_t *old)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, old))
		return -ctl_error(c, CTL_FAILED, "system", "signals: %s", strerror(errno));
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -ctl_error(c, CTL_FAILED, "system", "signals: %s", strerror(errno));
	return fd;
}

static void terminal_raw(struct console *con)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &con->saved))
		return;
	t = con->saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST | ONLCR; /* the guest ends its lines with a newline alone */
	con->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

static void terminal_restore(struct console *con)
{
	if (con->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &con->saved);
}

static void put_output(const uint8_t *data, size_t len)
{
	(void)fwrite(data, 1, len, stdout);
	(void)fflush(stdout);
}

static void on_console(struct client *cl, const uint8_t *data, size_t len, void *arg)
{
	(void)cl;
	(void)arg;
	put_output(data, len);
}

static int send_keys(struct console *con, const uint8_t *data, size_t len)
{
	int r;

	if (!len)
		return 0;
	if (con->cl)
		return client_send_console(con->cl, data, len);
	r = transport_write_all(con->link, data, len, now_ns() + CLIENT_LIMIT_NS);
	return r ? ctl_error(con->ctl, CTL_LOST, "guest-lost", "the console: %s", strerror(-r)) : 0;
}

/* Keys up to the one that detaches go to the guest. */
static int take_keys(struct console *con)
{
	uint8_t keys[1024];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
	uint8_t *end;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0
							 : ctl_error(con->ctl, CTL_FAILED, "system",
								     "stdin: %s", strerror(errno));
	if (n == 0) {
		con->n_watches = 1; /* input from a file has ended: output goes on */
		return 0;
	}
	end = memchr(keys, DETACH_KEY, (size_t)n);
	con->detach = end != NULL;
	return send_keys(con, keys, end ? (size_t)(end - keys) : (size_t)n);
}

static int wait_link(struct console *con)
{
	uint8_t buf[4096];
	ssize_t n;
	int r;

	if (con->cl) {
		Theseus__VmResponse *none;

		return client_wait(con->cl, con->watches, con->n_watches, 0, UINT64_MAX, &none);
	}
	r = transport_wait(con->link, TRANSPORT_READ, con->watches, con->n_watches, UINT64_MAX);
	n = r > 0 ? transport_read(con->link, buf, sizeof(buf)) : -EAGAIN;
	if (r < 0 || n == 0 || (n < 0 && n != -EAGAIN))
		return ctl_error(con->ctl, CTL_LOST, "guest-lost", "the console was closed");
	if (n > 0)
		put_output(buf, (size_t)n);
	return 0;
}

static int loop(struct console *con)
{
	int r = 0;

	while (!r && !con->detach) {
		con->watches[0].ready = con->watches[1].ready = false;
		r = wait_link(con);
		if (!r && con->watches[0].ready)
			con->detach = true;
		else if (!r && con->n_watches > 1 && con->watches[1].ready)
			r = take_keys(con);
	}
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
	console.attach = true;
	req.body_case = THESEUS__VM_REQUEST__BODY_CONSOLE;
	req.console = &console;
	return client_call_vm(con->cl, &req, 0, &response);
}

int cmd_console(struct ctl *c, int argc, char **argv)
{
	struct console con = {.ctl = c, .n_watches = 2};
	CLEANUP_FD int signals = -1;
	struct target target;
	sigset_t old;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r && c->json)
		r = ctl_error(c, CTL_USAGE, "usage", "the console is bytes; it has no --json");
	if (!r)
		r = attach(&con, &target);
	if (!r) {
		signals = signal_fd(c, &old);
		r = signals < 0 ? -signals : 0;
	}
	if (!r) {
		con.watches[0].fd = signals;
		con.watches[1].fd = STDIN_FILENO;
		ctl_note(c, "attached to %s; ^] detaches", target.name);
		terminal_raw(&con);
		r = loop(&con);
		terminal_restore(&con);
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
	}
	client_close(con.cl);
	transport_close(con.link);
	return r;
}
