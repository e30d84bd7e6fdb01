/* SPDX-License-Identifier: MIT */
/* Each case in a child, because a filter cannot be taken off. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm.h"
#include "end.h"
#include "sandbox.h"

/* Result: how a child ends that confines itself to @role and calls @act. */
static int status_of(enum sandbox_role role, void (*act)(void))
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_prepare(-1) < 0 || sandbox_enter(role) < 0)
			_exit(1);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void open_file(void)
{
	(void)open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void make_socket(void)
{
	(void)socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void execute(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
}

static void make_child(void)
{
	if (fork() == 0)
		_exit(0);
}

static void map_executable(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map_data(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void create_vm(void)
{
	(void)ioctl(0, KVM_CREATE_VM, 0);
}

static void run_vcpu(void)
{
	(void)ioctl(-1, KVM_RUN, 0);
}

static void signal_msi(void)
{
	(void)ioctl(-1, KVM_SIGNAL_MSI, 0);
}

static void kill_somebody(void)
{
	(void)kill(getpid(), 0);
}

static void wait_for_child(void)
{
	(void)waitid(P_ALL, 0, NULL, WEXITED | WNOHANG);
}

static void test_filters(void **state)
{
	static const struct {
		void (*act)(void);
		int loop, loop_tcg, vcpu;
	} cases[] = {
#define NO STATUS_SANDBOX
		{open_file, 0, 0, NO},      {map_data, 0, 0, 0},
		{signal_msi, 0, 0, 0},      {run_vcpu, NO, NO, 0},
		{kill_somebody, NO, 0, NO}, {wait_for_child, NO, 0, NO},
		{make_socket, NO, NO, NO},  {execute, NO, NO, NO},
		{make_child, NO, NO, NO},   {map_executable, NO, NO, NO},
		{create_vm, NO, NO, NO},
	};

	(void)state;
	if (!sandbox_active())
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int loop = status_of(SANDBOX_LOOP, cases[i].act);
		int tcg = status_of(SANDBOX_LOOP_TCG, cases[i].act);
		int vcpu = status_of(SANDBOX_VCPU, cases[i].act);

		if (loop != cases[i].loop || tcg != cases[i].loop_tcg || vcpu != cases[i].vcpu)
			fail_msg("case %zu: loop %d, loop_tcg %d, vcpu %d", i, loop, tcg, vcpu);
	}
}

static void check_limits(void)
{
	struct rlimit l;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		_exit(2);
	if (getrlimit(RLIMIT_CORE, &l) < 0 || l.rlim_max != 0)
		_exit(3);
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_max > 128)
		_exit(4);
	_exit(0);
}

static void test_limits(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (sandbox_prepare(-1) < 0)
			_exit(1);
		check_limits();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The refused call is named where an operator looks. */
static void test_report(void **state)
{
	char text[256] = "", said[64];
	int p[2], status;
	pid_t pid;

	(void)state;
	if (!sandbox_active())
		skip();
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		if (sandbox_prepare(p[1]) < 0 || sandbox_enter(SANDBOX_VCPU) < 0)
			_exit(1);
		make_socket();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), STATUS_SANDBOX);
	assert_true(read(p[0], text, sizeof(text) - 1) > 0);
	(void)snprintf(said, sizeof(said), "system call %03d", 41 /* socket */);
	assert_non_null(strstr(text, said));
	(void)close(p[0]);
	(void)close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
