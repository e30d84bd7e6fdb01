/* SPDX-License-Identifier: MIT */
/* run_start(): theseus-vmm as a child, until it says that it is ready or why it is not. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bundle-arg.h"
#include "util.h"

#define PATH_SIZE RUN_PATH_SIZE
#define READY_LINE_MAX 8192
#define ARGS_MAX 24
#define END_LIMIT_NS (5 * NS_PER_SEC)

/* ---- files ---- */

/* Folder of this program, without a slash at its end. False: unknown, or it does not fit. */
static bool program_dir(char buf[PATH_SIZE])
{
	ssize_t n = readlink("/proc/self/exe", buf, PATH_SIZE - 1);
	char *slash;

	if (n <= 0)
		return false;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

const char *run_build_dir(char buf[PATH_SIZE])
{
	const char *dir = getenv("THESEUS_BUILD");
	char self[PATH_SIZE], *slash;
	int n;

	if (dir && *dir)
		return dir;
	if (!program_dir(self))
		return NULL;
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	n = snprintf(buf, PATH_SIZE, "%s/guest/theseus.elf", self);
	if (n < 0 || n >= PATH_SIZE || access(buf, R_OK))
		return NULL;
	memcpy(buf, self, strlen(self) + 1);
	return buf;
}

/*
 * Where the installed files are: as configured, or, for an installation that was moved as a
 * whole, where they lie from this program's bin/.
 */
static const char *data_dir(char buf[PATH_SIZE])
{
	static const char beside[] = "/../share/theseus";
	size_t n;

	if (!access(THESEUS_DATADIR "/theseus.elf", R_OK) || !program_dir(buf))
		return THESEUS_DATADIR;
	n = strlen(buf);
	if (n + sizeof(beside) > PATH_SIZE)
		return THESEUS_DATADIR;
	memcpy(buf + n, beside, sizeof(beside));
	return buf;
}

int run_find_file(struct ctl *c, enum run_file which, char *buf, size_t size)
{
	static const struct {
		const char *env, *built, *installed;
	} rows[] = {
		[RUN_GUEST] = {"THESEUS_GUEST", "guest/theseus.elf", "theseus.elf"},
		[RUN_BUNDLE] = {"THESEUS_BUNDLE", "cells/boot.cells", "boot.cells"},
		[RUN_SDK] = {"THESEUS_SDK", "cells/sdk.conf", "sdk/sdk.conf"},
		[RUN_CELLCHECK] = {"THESEUS_CELLCHECK", "lib/theseus-cellcheck",
				   THESEUS_LIBEXEC_BESIDE "/theseus-cellcheck"},
	};
	char dir[PATH_SIZE];
	const char *path = getenv(rows[which].env), *build = run_build_dir(dir);
	int n;

	if (path && *path)
		n = snprintf(buf, size, "%s", path);
	else if (build)
		n = snprintf(buf, size, "%s/%s", build, rows[which].built);
	else
		n = snprintf(buf, size, "%s/%s", data_dir(dir), rows[which].installed);
	if (n < 0 || (size_t)n >= size)
		return ctl_error(c, CTL_FAILED, "environment", "%s is too long", rows[which].env);
	if (access(buf, R_OK))
		return ctl_error(c, CTL_FAILED, "no-such-file", "%s: %s ($%s says where it is)",
				 buf, strerror(errno), rows[which].env);
	return 0;
}

/* theseus-vmm: where the environment says, beside this program, else by PATH. */
static void find_vmm(char *buf, size_t size)
{
	char dir[PATH_SIZE];
	const char *env = getenv("THESEUS_VMM"), *build = run_build_dir(dir);
	int n;

	if (env && *env) {
		(void)snprintf(buf, size, "%s", env);
		return;
	}
	if (build) {
		(void)snprintf(buf, size, "%s/vmm/theseus-vmm", build);
		return;
	}
	if (program_dir(dir)) {
		n = snprintf(buf, size, "%s/theseus-vmm", dir);
		if (n > 0 && (size_t)n < size && !access(buf, X_OK))
			return;
	}
	(void)snprintf(buf, size, "theseus-vmm");
}

/* ---- the process ---- */

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int run_reap(struct ctl *c, pid_t pid, uint64_t limit_ns, int *ret_status)
{
	CLEANUP_FD int pidfd = pidfd_of(pid);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n, r = 0;

	do
		n = pidfd < 0 ? 1 : poll(&p, 1, (int)(limit_ns / NS_PER_MS));
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		(void)kill(pid, SIGKILL);
		r = ctl_error(c, CTL_TIMED_OUT, "timed-out",
			      "theseus-vmm (process %d) did not end and was killed", (int)pid);
	}
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return ctl_error(c, CTL_FAILED, "system", "waitpid: %s", strerror(errno));
	return r;
}

/* After a failure; @ask: it was not theseus-vmm that ended, so it is told to. */
static void end_child(struct ctl *c, pid_t pid, bool ask)
{
	struct ctl_error saved = c->error;
	int status;

	c->error = (struct ctl_error){0};
	if (ask)
		(void)kill(pid, SIGTERM);
	(void)run_reap(c, pid, END_LIMIT_NS, &status);
	ctl_error_clear(c);
	c->error = saved;
}

struct spawn {
	char vmm[PATH_SIZE], guest[PATH_SIZE], bundle[PATH_SIZE];
	char cpus[24], mem[24], ready[24];
	char *args[ARGS_MAX];
	size_t n;
	int ready_fd; /* the child's end of the pipe */
	int log_fd;   /* its stderr: a file in memory */
	bool detach;
};

static void arg(struct spawn *s, const char *option, const char *value)
{
	if (s->n + 3 > ARGS_MAX)
		abort();
	s->args[s->n++] = (char *)(uintptr_t)option;
	if (value)
		s->args[s->n++] = (char *)(uintptr_t)value;
}

static void build_args(struct spawn *s, const struct run_config *config)
{
	(void)snprintf(s->cpus, sizeof(s->cpus), "%llu", (unsigned long long)config->cpus);
	(void)snprintf(s->mem, sizeof(s->mem), "%llu", (unsigned long long)config->memory_mib);
	(void)snprintf(s->ready, sizeof(s->ready), "%d", s->ready_fd);
	arg(s, s->vmm, NULL);
	arg(s, "--name", config->name);
	arg(s, "--guest", s->guest);
	arg(s, "--bundle", s->bundle);
	arg(s, "--accel", config->accel ? config->accel : "auto");
	arg(s, "--cpus", s->cpus);
	arg(s, "--mem", s->mem);
	if (config->cmdline)
		arg(s, "--cmdline", config->cmdline);
	arg(s, "--ready-fd", s->ready);
}

/* In the child: only what is safe after fork(). */
static void child(const struct spawn *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	if (!s->detach)
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(s->log_fd, STDERR_FILENO);
	(void)fcntl(s->ready_fd, F_SETFD, 0);
	(void)execvp(s->args[0], s->args);
	(void)dprintf(STDERR_FILENO, "%s: %s\n", s->args[0], strerror(errno));
	_exit(127);
}

/* ---- what it says ---- */

/* Reads up to the newline or the end. Result: 0, -ETIMEDOUT, or another -errno. */
static int read_line(int fd, char *buf, size_t size, uint64_t deadline_ns)
{
	size_t len = 0;

	while (len < size - 1 && !memchr(buf, '\n', len)) {
		uint64_t now = now_ns();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;
		int n;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS));
		if (n <= 0)
			continue;
		got = read(fd, buf + len, size - 1 - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		if (got > 0)
			len += (size_t)got;
	}
	buf[len] = '\0';
	return 0;
}

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!o || !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

/* The end of what it wrote to stderr, as reasons, one a line. */
static void add_stderr(struct ctl *c, int log_fd)
{
	char buf[4096];
	off_t size = lseek(log_fd, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(buf) - 1 ? size - ((off_t)sizeof(buf) - 1) : 0;
	ssize_t n = pread(log_fd, buf, sizeof(buf) - 1, from);
	char *save = NULL;

	if (n <= 0)
		return;
	buf[n] = '\0';
	for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		CLEANUP_FREE char *clean = clean_text(line, strlen(line), false);

		if (clean)
			ctl_error_reason(c, clean);
	}
}

/*
 * Reads the line that says whether the VM is ready: {"ready_ns":N,...} or {"error":TEXT}, with
 * a "code" where the reason has a word. Result: exit status.
 */
static int check_ready(struct ctl *c, const char *line, int log_fd)
{
	struct json_object *o = *line ? json_tokener_parse(line) : NULL;
	const char *code = member(o, "code"), *message = member(o, "error");
	int r;

	if (o && json_object_object_get_ex(o, "ready_ns", NULL)) {
		json_object_put(o);
		return 0;
	}
	r = ctl_error(c, CTL_FAILED, code ? code : "vmm-failed", "%s",
		      message ? message : "theseus-vmm ended before the VM was ready");
	if (!message)
		add_stderr(c, log_fd);
	json_object_put(o);
	return r;
}

static int wait_ready(struct ctl *c, const struct run_config *config, int fd, int log_fd)
{
	CLEANUP_FREE char *line = malloc(READY_LINE_MAX);
	char limit[FORMAT_MAX];
	int r;

	if (!line)
		return ctl_oom(c);
	r = read_line(fd, line, READY_LINE_MAX, now_ns() + config->timeout_ns);
	if (!r)
		return check_ready(c, line, log_fd);
	if (r == -ETIMEDOUT)
		r = ctl_error(c, CTL_TIMED_OUT, "not-ready",
			      "%s: the guest was not ready within %s; the VM was ended",
			      config->name, format_ns(config->timeout_ns, limit));
	else
		r = ctl_error(c, CTL_FAILED, "system", "theseus-vmm: %s", strerror(-r));
	add_stderr(c, log_fd);
	return r;
}

static int find_files(struct ctl *c, const struct run_config *config, struct spawn *s)
{
	int r = 0;

	find_vmm(s->vmm, sizeof(s->vmm));
	if (config->guest)
		(void)snprintf(s->guest, sizeof(s->guest), "%s", config->guest);
	else
		r = run_find_file(c, RUN_GUEST, s->guest, sizeof(s->guest));
	if (!r && config->bundle)
		(void)snprintf(s->bundle, sizeof(s->bundle), "%s", config->bundle);
	else if (!r)
		r = run_find_file(c, RUN_BUNDLE, s->bundle, sizeof(s->bundle));
	/* The guest would find it out too, but could only crash. */
	return r ? r : bundle_file_check(c, s->bundle);
}

static int spawn(struct ctl *c, const struct run_config *config, struct spawn *s, pid_t *ret_pid)
{
	int r = find_files(c, config, s);
	pid_t pid;

	if (r)
		return r;
	build_args(s, config);
	pid = fork();
	if (pid < 0)
		return ctl_error(c, CTL_FAILED, "system", "fork: %s", strerror(errno));
	if (pid == 0)
		child(s);
	*ret_pid = pid;
	return 0;
}

int run_start(struct ctl *c, const struct run_config *config, struct run_vm *ret_vm)
{
	CLEANUP_FREE struct spawn *s = calloc(1, sizeof(*s));
	CLEANUP_FD int ready = -1, ready_child = -1, log_fd = -1;
	int fds[2], r;

	if (!s)
		return ctl_oom(c);
	ret_vm->target = (struct target){.kind = TARGET_SOCKET, .name = config->name};
	r = target_path(c, config->name, "sock", ret_vm->target.path, sizeof(ret_vm->target.path));
	if (r)
		return r;
	if (pipe2(fds, O_CLOEXEC))
		return ctl_error(c, CTL_FAILED, "system", "pipe: %s", strerror(errno));
	ready = fds[0];
	ready_child = fds[1];
	log_fd = memfd_create("theseus-vmm-stderr", MFD_CLOEXEC);
	if (log_fd < 0)
		return ctl_error(c, CTL_FAILED, "system", "memfd: %s", strerror(errno));
	s->ready_fd = ready_child;
	s->log_fd = log_fd;
	s->detach = config->detach;
	r = spawn(c, config, s, &ret_vm->pid);
	if (r)
		return r;
	/* Ours must be closed, else the child's end of the pipe never shows. */
	close_fd(&ready_child);
	ready_child = -1;
	r = wait_ready(c, config, ready, log_fd);
	if (r)
		end_child(c, ret_vm->pid, r == CTL_TIMED_OUT);
	return r;
}
