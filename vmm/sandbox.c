/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "end.h"
#include "sandbox-filters.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                     \
	__has_feature(memory_sanitizer) || __has_feature(leak_sanitizer)
#define SANITIZER 1
#else
#define SANITIZER 0
#endif

#define OPEN_FILES_MAX 128u          /* clients, vCPUs and a handful */
#define FILE_BYTES_MAX (64ull << 20) /* the log is rotated long before */

static int report_fd = -1;

bool sandbox_active(void)
{
	return !SANITIZER;
}

/* Only async-signal-safe calls, all on the list of every filter. */
static void on_refused(int sig, siginfo_t *info, void *context)
{
	char text[] = "theseus-vmm: system call 000 is outside the sandbox; ending\n";
	unsigned int n = (unsigned int)info->si_syscall % 1000;
	char *digits = strstr(text, "000");

	(void)sig;
	(void)context;
	digits[0] = (char)('0' + n / 100);
	digits[1] = (char)('0' + n / 10 % 10);
	digits[2] = (char)('0' + n % 10);
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	if (report_fd >= 0)
		(void)!write(report_fd, text, sizeof(text) - 1);
	_exit(STATUS_SANDBOX);
}

static int limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return -errno;
	if (l.rlim_max != RLIM_INFINITY && l.rlim_max < value)
		value = l.rlim_max;
	l.rlim_cur = l.rlim_max = value;
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

int sandbox_prepare(int log_fd)
{
	struct sigaction a = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
	int r;

	report_fd = log_fd;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sigaction(SIGSYS, &a, NULL) < 0)
		return -errno;
	r = limit(RLIMIT_NOFILE, OPEN_FILES_MAX);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
	/* a core dump would hold the guest's memory */
	return r < 0 ? r : limit(RLIMIT_CORE, 0);
}

int sandbox_enter(enum sandbox_role role)
{
	static const struct {
		const struct sock_filter *code;
		unsigned short len;
	} filters[_SANDBOX_ROLE_MAX] = {
#define FILTER(f) {f, sizeof(f) / sizeof((f)[0])}
		[SANDBOX_LOOP] = FILTER(filter_loop),
		[SANDBOX_LOOP_TCG] = FILTER(filter_loop_tcg),
		[SANDBOX_VCPU] = FILTER(filter_vcpu),
	};
	union {
		const struct sock_filter *in;
		struct sock_filter *out; /* as the kernel's struct wants it; it only reads */
	} code = {filters[role].code};
	struct sock_fprog program = {.len = filters[role].len, .filter = code.out};

	if (!sandbox_active())
		return 0;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
