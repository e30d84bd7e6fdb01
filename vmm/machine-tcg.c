/* SPDX-License-Identifier: MIT */
#include "machine-tcg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-of.h"
#include "load.h"
#include "marks.h"
#include "theseus/platform.h"

#define QEMU "qemu-system-x86_64"
#define PIECE (16u << 10)

/* The child's streams, and their descriptor numbers in it. */
enum stream_id {
	STREAM_CONSOLE = GUEST_PORT_CONSOLE,
	STREAM_CONTROL = GUEST_PORT_CONTROL,
	STREAM_COM1,
	STREAM_ERRORS, /* QEMU's own stderr */
	_STREAM_MAX,
};

#define CHILD_FD(stream) (10 + (int)(stream))

struct machine_tcg;

struct stream {
	struct machine_tcg *owner;
	uv_poll_t poll;
	int fd; /* ours; -1 = closed */
	bool wants_writable;
	bool polled; /* the handle is in the loop */
};

struct machine_tcg {
	struct machine base;
	struct machine_events events;
	struct stream streams[_STREAM_MAX];
	uv_poll_t child_poll;
	pid_t child;  /* 0 = none */
	int child_fd; /* pidfd */
	bool child_polled, forced, finished;
	unsigned int closing; /* handles, after a failed start */
	char last_error[160]; /* the last line QEMU wrote to stderr */
	size_t error_used;
};

static struct machine_tcg *tcg(struct machine *m)
{
	return (struct machine_tcg *)m;
}

/* ---- streams ---- */

static void on_stream(uv_poll_t *p, int status, int events);

static void watch(struct stream *s)
{
	(void)uv_poll_start(&s->poll, UV_READABLE | (s->wants_writable ? UV_WRITABLE : 0),
			    on_stream);
}

/* Keeps the last line for the reason of the end, and logs each. */
static void take_error(struct machine_tcg *t, const uint8_t *data, size_t len)
{
	char note[sizeof(t->last_error) + 8];

	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n') {
			if (t->error_used < sizeof(t->last_error) - 1)
				t->last_error[t->error_used++] = (char)data[i];
			continue;
		}
		t->last_error[t->error_used] = '\0';
		t->error_used = 0;
		(void)snprintf(note, sizeof(note), "qemu: %s", t->last_error);
		t->events.note(t->events.ctx, note);
	}
}

static void deliver(struct machine_tcg *t, enum stream_id id, const uint8_t *data, size_t len)
{
	switch (id) {
	case STREAM_COM1:
		t->events.text(t->events.ctx, data, len);
		return;
	case STREAM_ERRORS:
		take_error(t, data, len);
		return;
	default:
		t->events.received(t->events.ctx, (enum guest_port)id, data, len);
	}
}

static enum stream_id id_of(const struct stream *s)
{
	return (enum stream_id)(s - s->owner->streams);
}

/* Result: 1 = there may be more, 0 = not now, -EPIPE when QEMU has closed its end. */
static int read_stream(struct stream *s)
{
	static uint8_t piece[PIECE];
	ssize_t n = recv(s->fd, piece, sizeof(piece), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	deliver(s->owner, id_of(s), piece, (size_t)n);
	return 1;
}

static void on_stream(uv_poll_t *p, int status, int events)
{
	struct stream *s = container_of(p, struct stream, poll);
	struct machine_tcg *t = s->owner;

	if (status < 0 || (events & UV_READABLE && read_stream(s) < 0)) {
		(void)uv_poll_stop(p); /* its end, too, follows */
		return;
	}
	if (events & UV_WRITABLE && s->wants_writable && !t->finished) {
		s->wants_writable = false;
		watch(s);
		t->events.writable(t->events.ctx, (enum guest_port)id_of(s));
	}
}

static size_t send_bytes(struct machine *m, enum guest_port port, const void *data, size_t len)
{
	struct stream *s = &tcg(m)->streams[port];
	ssize_t n = tcg(m)->finished ? 0 : send(s->fd, data, len, MSG_NOSIGNAL);
	size_t done = n > 0 ? (size_t)n : 0;

	if (done < len && !tcg(m)->finished) {
		s->wants_writable = true;
		watch(s);
	}
	return done;
}

/* ---- the child's end ---- */

static void describe_exit(struct machine_tcg *t, const siginfo_t *info, struct machine_end *end)
{
	int status = info->si_status;

	end->code = -1;
	if (info->si_code != CLD_EXITED) {
		end->kind = t->forced ? END_FORCED : END_CHILD_DIED;
		(void)snprintf(end->text, sizeof(end->text),
			       t->forced ? "ended by the operator" : "QEMU was killed by signal %d",
			       status);
	} else if (status == 0) {
		end->kind = t->forced ? END_FORCED : END_RESET;
		(void)snprintf(end->text, sizeof(end->text),
			       t->forced ? "ended by the operator"
					 : "the guest reset itself, or a triple fault did");
	} else if (status == 1 || !(status & 1)) {
		end->kind = END_CHILD_DIED;
		(void)snprintf(end->text, sizeof(end->text), "QEMU failed (status %d)%s%s", status,
			       *t->last_error ? ": " : "", t->last_error);
	} else {
		/* isa-debug-exit: (byte << 1) | 1 */
		end->kind = END_CODE;
		end->code = status >> 1;
	}
}

/* Result: how many handles are on their way, for each of which @closed is called. */
static unsigned int close_handles(struct machine_tcg *t, uv_close_cb closed)
{
	unsigned int n = 0;

	for (int i = 0; i < _STREAM_MAX; i++) {
		if (!t->streams[i].polled)
			continue;
		uv_close((uv_handle_t *)&t->streams[i].poll, closed);
		n++;
	}
	if (t->child_polled) {
		uv_close((uv_handle_t *)&t->child_poll, closed);
		n++;
	}
	return n;
}

static void on_child_exit(uv_poll_t *p, int status, int events)
{
	struct machine_tcg *t = p->data;
	struct machine_end end = {0};
	siginfo_t info = {0};

	(void)status;
	(void)events;
	if (waitid(P_PID, (id_t)t->child, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	t->child = 0;
	for (int i = 0; i < _STREAM_MAX; i++)
		while (read_stream(&t->streams[i]) > 0)
			;
	t->finished = true;
	describe_exit(t, &info, &end);
	(void)close_handles(t, NULL);
	t->events.ended(t->events.ctx, &end);
}

/* ---- operations ---- */

static void start(struct machine *m)
{
	struct machine_tcg *t = tcg(m);

	/* QEMU keeps what is sent until the guest opens its end, and does not say when */
	for (int port = 0; port < _GUEST_PORT_MAX; port++)
		t->events.opened(t->events.ctx, (enum guest_port)port, true);
}

static void stop(struct machine *m)
{
	struct machine_tcg *t = tcg(m);

	t->forced = true;
	if (t->child)
		(void)kill(t->child, SIGKILL);
}

static const void *ram(const struct machine *m, size_t *ret_size)
{
	(void)m;
	*ret_size = 0;
	return NULL;
}

static void free_machine(struct machine *m)
{
	struct machine_tcg *t = tcg(m);

	if (t->child) {
		(void)kill(t->child, SIGKILL);
		(void)waitpid(t->child, NULL, 0);
	}
	for (int i = 0; i < _STREAM_MAX; i++)
		if (t->streams[i].fd >= 0)
			(void)close(t->streams[i].fd);
	if (t->child_fd >= 0)
		(void)close(t->child_fd);
	free(t);
}

static const struct machine_ops tcg_ops = {
	.start = start,
	.stop = stop,
	.send = send_bytes,
	.ram = ram,
	.free = free_machine,
};

/* ---- starting QEMU ---- */

#define ARGS_MAX 64

struct arguments {
	const char *list[ARGS_MAX];
	int used;
	char smp[16], memory[24];
	char cmdline[BOOT_CMDLINE_MAX + 64];
	char chardevs[_STREAM_MAX][64];
};

static void add(struct arguments *a, const char *option, const char *value)
{
	a->list[a->used++] = option;
	if (value)
		a->list[a->used++] = value;
}

static void add_chardev(struct arguments *a, enum stream_id stream, const char *id)
{
	(void)snprintf(a->chardevs[stream], sizeof(a->chardevs[0]), "socket,id=%s,fd=%d", id,
		       CHILD_FD(stream));
	add(a, "-chardev", a->chardevs[stream]);
}

static void make_arguments(struct arguments *a, const struct machine_config *config)
{
	(void)snprintf(a->smp, sizeof(a->smp), "%u", config->cpus);
	(void)snprintf(a->memory, sizeof(a->memory), "%llu",
		       (unsigned long long)config->memory >> 20);
	(void)load_cmdline(config, a->cmdline, sizeof(a->cmdline));
	add(a, QEMU, NULL);
	add(a, "-nodefaults", NULL);
	add(a, "-no-user-config", NULL);
	add(a, "-machine", "q35,accel=tcg");
	add(a, "-cpu", "max");
	add(a, "-smp", a->smp);
	add(a, "-m", a->memory);
	add(a, "-display", "none");
	add(a, "-no-reboot", NULL);
	add(a, "-action", "panic=none"); /* the exit port follows, and says more */
	add(a, "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add(a, "-kernel", config->guest);
	if (config->bundle)
		add(a, "-initrd", config->bundle);
	add(a, "-append", a->cmdline);
	add_chardev(a, STREAM_COM1, "com1");
	add(a, "-serial", "chardev:com1");
	add(a, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01");
	add(a, "-device", "pvpanic,ioport=0x505");
	add(a, "-device", "virtio-serial-pci,id=ports,disable-legacy=on,max_ports=2");
	add_chardev(a, STREAM_CONSOLE, "console");
	add(a, "-device",
	    "virtconsole,bus=ports.0,nr=0,chardev=console,name=" PLATFORM_CONSOLE_PORT);
	add_chardev(a, STREAM_CONTROL, "control");
	add(a, "-device",
	    "virtserialport,bus=ports.0,nr=1,chardev=control,name=" PLATFORM_CONTROL_PORT);
	a->list[a->used] = NULL;
}

/*
 * In the child: only async-signal-safe calls. @ends are the child's ends of the streams, all
 * close-on-exec; an error goes to @report as an errno.
 */
static _Noreturn void become_qemu(char *const *argv, const int ends[_STREAM_MAX], pid_t parent,
				  int report)
{
	sigset_t none;
	int e, null;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0); /* the terminal's ^C is for theseus-vmm */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		goto failed;
	if (getppid() != parent)
		_exit(1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		goto failed;
	for (int i = 0; i < _STREAM_MAX; i++)
		if (dup2(ends[i], CHILD_FD(i)) < 0)
			goto failed;
	if (dup2(CHILD_FD(STREAM_ERRORS), 2) < 0)
		goto failed;
	(void)execvp(argv[0], argv);
failed:
	e = errno;
	(void)!write(report, &e, sizeof(e));
	_exit(127);
}

/* The numbers CHILD_FD() must be free in the child before they are filled one by one. */
static int above_child_fds(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FD(_STREAM_MAX));

	(void)close(fd);
	return high;
}

static int make_streams(struct machine_tcg *t, int ends[_STREAM_MAX])
{
	for (int i = 0; i < _STREAM_MAX; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		t->streams[i].fd = pair[0];
		ends[i] = above_child_fds(pair[1]);
		if (ends[i] < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

/* Result: 0 once the child runs QEMU, or why it does not. */
static int fork_qemu(struct machine_tcg *t, struct arguments *a, const int ends[_STREAM_MAX])
{
	int report[2], e = 0;
	pid_t parent = getpid();

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	report[1] = above_child_fds(report[1]);
	if (report[1] < 0) {
		(void)close(report[0]);
		return -EMFILE;
	}
	t->child = fork();
	if (t->child == 0) {
		union {
			const char **in;
			char *const *out; /* as execvp() wants it; it does not write */
		} argv = {a->list};

		become_qemu(argv.out, ends, parent, report[1]);
	}
	if (t->child < 0) {
		e = errno;
		t->child = 0;
	}
	(void)close(report[1]);
	if (t->child && read(report[0], &e, sizeof(e)) != sizeof(e))
		e = 0; /* closed by exec */
	(void)close(report[0]);
	return -e;
}

static int spawn(struct machine_tcg *t, const struct machine_config *config, struct failure *f)
{
	int ends[_STREAM_MAX], r;
	struct arguments a = {0};

	for (int i = 0; i < _STREAM_MAX; i++)
		ends[i] = -1;
	make_arguments(&a, config);
	r = make_streams(t, ends);
	if (!r)
		r = fork_qemu(t, &a, ends);
	for (int i = 0; i < _STREAM_MAX; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
	if (r == -ENOENT)
		return failure(f, r,
			       "cannot start " QEMU ": it is not installed (package "
			       "qemu-system-x86); use --accel kvm, or install it");
	return r < 0 ? failure(f, r, "cannot start " QEMU ": %s", strerror(-r)) : 0;
}

static int watch_child(struct machine_tcg *t, uv_loop_t *loop, struct failure *f)
{
	int r;

	t->child_fd = (int)syscall(SYS_pidfd_open, t->child, 0);
	if (t->child_fd < 0)
		return failure(f, -errno, "cannot watch QEMU: %s", strerror(errno));
	r = uv_poll_init(loop, &t->child_poll, t->child_fd);
	t->child_polled = !r;
	t->child_poll.data = t;
	if (!r)
		r = uv_poll_start(&t->child_poll, UV_READABLE, on_child_exit);
	for (int i = 0; i < _STREAM_MAX && !r; i++) {
		struct stream *s = &t->streams[i];

		r = uv_poll_init(loop, &s->poll, s->fd);
		if (r)
			break;
		s->polled = true;
		s->poll.data = t;
		watch(s);
	}
	return r < 0 ? failure(f, r, "cannot watch QEMU: %s", uv_strerror(r)) : 0;
}

/* Says no to what is not the guest before QEMU does it less clearly. */
static int check_files(const struct machine_config *config, struct failure *f)
{
	struct guest_memory m;
	struct loaded unused;
	int r = load_memory(&m, config, f);

	if (r == 0)
		r = load_files(&m, config, &unused, f);
	guest_memory_deinit(&m);
	return r;
}

/* The last handle to go takes a half-built machine with it. */
static void on_closed(uv_handle_t *h)
{
	struct machine_tcg *t = h->data;

	if (--t->closing == 0)
		free_machine(&t->base);
}

int machine_tcg_new(const struct machine_config *config, uv_loop_t *loop,
		    const struct machine_events *events, struct machine **ret_machine,
		    struct failure *f)
{
	struct machine_tcg *t;
	int r = check_files(config, f);

	if (r < 0)
		return r;
	marks_add("checked");
	t = calloc(1, sizeof(*t));
	if (!t)
		return failure(f, -ENOMEM, "out of memory");
	t->base.ops = &tcg_ops;
	t->events = *events;
	t->child_fd = -1;
	for (int i = 0; i < _STREAM_MAX; i++)
		t->streams[i] = (struct stream){.owner = t, .fd = -1};
	r = spawn(t, config, f);
	marks_add("qemu");
	if (r == 0)
		r = watch_child(t, loop, f);
	if (r == 0) {
		*ret_machine = &t->base;
		return 0;
	}
	t->finished = true;
	t->closing = close_handles(t, on_closed);
	if (!t->closing)
		free_machine(&t->base);
	return r;
}
