/* SPDX-License-Identifier: MIT */
/* A measure on Linux: a process of its own, which prints one line. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "util.h"

#define OUTPUT_MAX 512u
#define LIMIT_NS (60 * NS_PER_SEC)

static void find_program(enum bench_side side, char path[RUN_PATH_SIZE])
{
	const char *name =
		side == BENCH_MIMALLOC ? "theseus-bench-mimalloc" : "theseus-bench-linux";
	char dir[RUN_PATH_SIZE];
	const char *build = run_build_dir(dir);

	if (build)
		(void)snprintf(path, RUN_PATH_SIZE, "%s/tests/bench/linux/%s", build, name);
	else
		(void)snprintf(path, RUN_PATH_SIZE, "%s/%s", THESEUS_LIBEXECDIR, name);
}

static int start(struct ctl *c, const char *path, const struct bench_op *op, uint64_t time_ms,
		 pid_t *ret_pid, int *ret_fd)
{
	char param[24], ms[24],
		*argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)op->name, param, ms, NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], r;

	(void)snprintf(param, sizeof(param), "%llu", (unsigned long long)op->param);
	(void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)time_ms);
	if (pipe2(fds, O_CLOEXEC))
		return ctl_error(c, CTL_FAILED, "system", "pipe: %s", strerror(errno));
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	r = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	if (r) {
		(void)close(fds[0]);
		return ctl_error(c, CTL_FAILED, "no-such-file",
				 "%s, the Linux side of the benchmarks, cannot be run: %s", path,
				 strerror(r));
	}
	*ret_fd = fds[0];
	return 0;
}

/* All that it prints, as text; false when it does not end in time. */
static bool collect(int fd, char output[OUTPUT_MAX])
{
	uint64_t deadline = now_ns() + LIMIT_NS, now;
	size_t used = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		now = now_ns();
		if (now >= deadline)
			return false;
		if (poll(&p, 1, (int)((deadline - now) / NS_PER_MS) + 1) < 1)
			continue;
		n = read(fd, output + used, OUTPUT_MAX - 1 - used);
		if (n <= 0) {
			output[used] = '\0';
			return true;
		}
		used += (size_t)n;
		if (used == OUTPUT_MAX - 1)
			used--; /* the rest is read and forgotten */
	}
}

int bench_linux(struct ctl *c, const struct bench_op *op, uint64_t time_ms,
		struct bench_figures *ret_figures, char ret_why[BENCH_WHY_MAX])
{
	char path[RUN_PATH_SIZE + 64], output[OUTPUT_MAX];
	CLEANUP_FD int fd = -1;
	bool in_time;
	int status = 0, r;
	pid_t pid;

	find_program(op->side, path);
	r = start(c, path, op, time_ms, &pid, &fd);
	if (r)
		return r;
	in_time = collect(fd, output);
	if (!in_time)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!in_time)
		return ctl_error(c, CTL_TIMED_OUT, "timed-out", "%s %s did not end in time", path,
				 op->name);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		output[strcspn(output, "\n")] = '\0';
		(void)snprintf(ret_why, BENCH_WHY_MAX, "%.*s", (int)BENCH_WHY_MAX - 1,
			       *output ? output : "it ended by a signal");
		return -ENODATA;
	}
	if (bench_parse(output, op, ret_figures))
		return ctl_error(c, CTL_FAILED, "bad-output", "%s %s: unexpected output", path,
				 op->name);
	return 0;
}
