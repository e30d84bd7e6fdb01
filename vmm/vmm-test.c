/* SPDX-License-Identifier: MIT */
/*
 * theseus-vmm as a process, with test guests: vmm-test kvm|tcg. Where a VM can be created the
 * KVM tests run; elsewhere they are skipped (status 77) with the reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "end.h"
#include "sandbox.h"
#include "testvm.h"
#include "theseus/platform.h"
#include "vm.h"

static const char *accel;

static bool kvm(void)
{
	return !strcmp(accel, "kvm");
}

/* A VM with @guest, one vCPU; it must have become ready if it is an agent. */
static void start(struct testvm *vm, const char *guest, const char *cpus)
{
	const char *args[] = {"--accel",           accel, "--cpus", cpus, "--guest",
			      testvm_guest(guest), NULL};

	*vm = (struct testvm){0};
	testvm_start(vm, args);
}

static void start_agent(struct testvm *vm, struct testclient *c)
{
	start(vm, "agent", "1");
	assert_non_null(strstr(vm->line, "\"ready_ns\""));
	testclient_connect(c, vm);
}

/* ---- starting and ending ---- */

static void test_hello(void **state)
{
	struct testvm vm;

	(void)state;
	start(&vm, "hello-ok", "1");
	/* it never says Hello, so the line on the ready descriptor is the reason */
	assert_non_null(strstr(vm.line, "{\"error\":\"a test guest passed\"}"));
	assert_true(testvm_logged(&vm, "com1: hello from the test guest"));
	assert_int_equal(testvm_wait(&vm), STATUS_TEST_OK);
	start(&vm, "hello-off", "1");
	assert_int_equal(testvm_wait(&vm), STATUS_POWEROFF);
}

static void test_status(void **state)
{
	Theseus__VmResponse *r;
	struct testclient c;
	struct testvm vm;
	struct stat st;

	(void)state;
	start(&vm, "agent", "2");
	testclient_connect(&c, &vm);
	r = testclient_vm_status(&c);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_OK);
	assert_string_equal(r->vm->name, vm.name);
	assert_string_equal(r->vm->accel, accel);
	assert_string_equal(r->vm->accel_reason, "");
	assert_string_equal(r->vm->state, "ready");
	assert_string_equal(r->vm->log_path, vm.log);
	assert_string_equal(r->vm->guest_build_id, "test");
	assert_int_equal(r->vm->pid, vm.pid);
	assert_int_equal(r->vm->cpus, 2);
	assert_int_equal(r->vm->memory_bytes, 128u << 20);
	assert_int_equal(r->vm->clients, 1);
	assert_true(r->vm->ready_ns > 0 && r->vm->ready_ns <= r->vm->uptime_ns);
	assert_true(r->vm->n_vmm_marks > 3);
	print_message("ready after %llu us, resident beyond guest RAM %llu KiB\n",
		      (unsigned long long)r->vm->ready_ns / 1000,
		      (unsigned long long)r->vm->resident_bytes >> 10);
	if (sandbox_active()) /* a sanitizer's shadow memory is resident too */
		assert_in_range(r->vm->resident_bytes, 1, 4u << 20);
	theseus__vm_response__free_unpacked(r, NULL);
	assert_int_equal(stat(vm.sock, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
	assert_int_equal(stat(vm.sock, &st), -1);
	assert_int_equal(stat(vm.dir, &st), -1);
}

static void expect_stop(bool force, int code, int status)
{
	Theseus__VmResponse *r;
	struct testclient c;
	struct testvm vm;

	start_agent(&vm, &c);
	r = testclient_vm_stop(&c, force);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_OK);
	assert_int_equal(r->body_case, THESEUS__VM_RESPONSE__BODY_EXIT);
	assert_int_equal(r->exit->code, code);
	assert_true(strlen(r->exit->reason) > 0);
	theseus__vm_response__free_unpacked(r, NULL);
	assert_false(testclient_receive(&c)); /* and then it closes */
	testclient_close(&c);
	assert_int_equal(testvm_wait(&vm), status);
}

static void test_stop(void **state)
{
	(void)state;
	expect_stop(false, PLATFORM_EXIT_POWEROFF, STATUS_POWEROFF);
	expect_stop(true, -1, STATUS_FORCED);
}

/* Has the guest do @command and checks how the VM ends. */
static void expect_end(const char *command, int status, const char *reason)
{
	struct testclient c;
	struct testvm vm;

	start_agent(&vm, &c);
	theseus__response__free_unpacked(testclient_exec(&c, command), NULL);
	assert_false(testclient_receive(&c));
	testclient_close(&c);
	assert_true(testvm_logged(&vm, reason));
	assert_int_equal(testvm_wait(&vm), status);
}

static void test_ends(void **state)
{
	(void)state;
	expect_end("xc", STATUS_CELL_CRASH, "com1: a crash record would stand here");
	expect_end("xr", STATUS_RESET, "the guest reset itself");
	expect_end("x\x12", STATUS_GATE_CRASH, "the gate crashed");
	expect_end("x\x11", STATUS_RESET, "asked for a restart");
	expect_end("xZ", STATUS_UNKNOWN_CODE, "unknown code 0x5a");
	if (kvm()) {
		expect_end("xt", STATUS_TRIPLE_FAULT, "triple fault on vCPU 0");
		expect_end("xp", STATUS_PANICKED, "reported a crash and then hung");
	} else {
		expect_end("xt", STATUS_RESET, "or a triple fault did");
	}
}

static void test_lost_request(void **state)
{
	Theseus__VmRequest wait = THESEUS__VM_REQUEST__INIT;
	Theseus__VmWait body = THESEUS__VM_WAIT__INIT;
	struct testclient a, b;
	struct testvm vm;
	Theseus__VmResponse *r;

	(void)state;
	start_agent(&vm, &a);
	testclient_connect(&b, &vm);
	assert_int_equal(kill(vm.pid, SIGTERM), 0);
	wait.body_case = THESEUS__VM_REQUEST__BODY_WAIT;
	wait.wait = &body;
	r = testclient_vm(&b, &wait);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_OK);
	assert_int_equal(r->exit->code, PLATFORM_EXIT_POWEROFF);
	theseus__vm_response__free_unpacked(r, NULL);
	testclient_close(&a);
	testclient_close(&b);
	assert_int_equal(testvm_wait(&vm), STATUS_POWEROFF);
}

/* ---- clients ---- */

static void test_sessions(void **state)
{
	struct testclient c[5];
	struct testvm vm;

	(void)state;
	start(&vm, "agent", "1");
	for (int i = 0; i < 5; i++)
		testclient_connect(&c[i], &vm);
	/* the same request ids from all of them at once */
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 5; i++)
			(void)testclient_send(&c[i], FRAME_REQUEST, "\x5a\x00", 2);
		for (int i = 0; i < 5; i++) {
			assert_true(testclient_receive(&c[i]));
			assert_int_equal(c[i].frame.header.type, FRAME_RESPONSE);
			assert_int_equal(c[i].frame.header.request_id, c[i].last_id);
			assert_int_equal(c[i].frame.header.session, 0);
		}
	}
	testclient_close(&c[0]);
	assert_int_equal(testclient_metric(&c[1], "frames_unexpected"), 0);
	for (int i = 1; i < 5; i++)
		testclient_close(&c[i]);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void attach(struct testclient *c)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmConsole console = THESEUS__VM_CONSOLE__INIT;

	console.attach = true;
	q.body_case = THESEUS__VM_REQUEST__BODY_CONSOLE;
	q.console = &console;
	theseus__vm_response__free_unpacked(testclient_vm(c, &q), NULL);
}

/* More than all buffers of the guest hold: nothing is lost on the way there and back. */
static void test_console(void **state)
{
	static uint8_t sent[200000], got[sizeof(sent)];
	size_t at = 0, have = 0;
	struct testclient c;
	struct testvm vm;

	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)('a' + i % 23);
	start_agent(&vm, &c);
	attach(&c);
	while (have < sizeof(sent)) {
		if (at < sizeof(sent)) {
			(void)testclient_send(&c, FRAME_CONSOLE, sent + at, 10000);
			at += 10000;
		}
		if (at < sizeof(sent) && at - have < 50000)
			continue;
		assert_true(testclient_receive(&c));
		assert_int_equal(c.frame.header.type, FRAME_CONSOLE);
		assert_true(have + c.frame.header.length <= sizeof(got));
		memcpy(got + have, c.frame.payload, c.frame.header.length);
		have += c.frame.header.length;
	}
	assert_memory_equal(sent, got, sizeof(sent));
	assert_true(testvm_logged(&vm, "console: abcdefg"));
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void test_garbage(void **state)
{
	static const char garbage[] = "GET / HTTP/1.1\r\n\r\n THS1 THS1";
	struct testclient c;
	struct testvm vm;

	(void)state;
	start_agent(&vm, &c);
	assert_int_equal(send(c.fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	theseus__vm_response__free_unpacked(testclient_vm_status(&c), NULL);
	assert_int_equal(testclient_metric(&c, "client_bytes_skipped"), sizeof(garbage));
	/* a VmRequest that is none, and a frame that a client may not send */
	(void)testclient_send(&c, FRAME_VM_REQUEST, "\xff\xff\xff", 3);
	assert_true(testclient_receive(&c));
	(void)testclient_send(&c, FRAME_EVENT, "", 0);
	assert_int_equal(testclient_metric(&c, "frames_unexpected"), 1);
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

/* ---- bad input ---- */

static void expect_refusal(const char *const *args, const char *says)
{
	struct testvm vm = {0};

	testvm_start(&vm, args);
	assert_non_null(strstr(vm.line, "{\"error\":\""));
	assert_int_equal(testvm_wait(&vm), STATUS_NOT_STARTED);
	if (!strstr(vm.errors, says))
		fail_msg("\"%s\" does not say \"%s\"", vm.errors, says);
}

static void test_refusals(void **state)
{
	const char *guest = testvm_guest("agent");
	char path[] = "/tmp/theseus-vmm-test-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
#define REFUSED(says, ...)                                                                         \
	expect_refusal((const char *const[]){"--accel", accel, __VA_ARGS__, NULL}, says)
	REFUSED("too little", "--guest", guest, "--mem", "31");
	REFUSED("too much", "--guest", guest, "--mem", "8192");
	REFUSED("cannot open /nonexistent", "--guest", "/nonexistent");
	REFUSED("/tmp is not the guest", "--guest", "/tmp");
	REFUSED("is not the guest: it is cut short", "--guest", path);
	REFUSED("is not the guest: it is no ELF file", "--guest", "/etc/services");
	REFUSED("fixed addresses", "--guest", getenv("THESEUS_VMM"));
	REFUSED("is empty", "--guest", guest, "--bundle", path);
	REFUSED("cannot open /nonexistent", "--guest", guest, "--bundle", "/nonexistent");
	REFUSED("cannot open the log", "--guest", guest, "--log", "/nonexistent/log");
	REFUSED("cannot listen", "--guest", guest, "--socket", "/nonexistent/sock");
	(void)close(fd);
	(void)unlink(path);
}

static void test_same_name(void **state)
{
	struct testvm vm, second = {0};
	struct testclient c;
	char text[96];

	(void)state;
	start_agent(&vm, &c);
	/* the harness picks the names; the last --name counts */
	testvm_start(&second,
		     (const char *const[]){"--accel", accel, "--guest", testvm_guest("agent"),
					   "--name", vm.name, NULL});
	assert_int_equal(testvm_wait(&second), STATUS_NOT_STARTED);
	(void)snprintf(text, sizeof(text), "a VM named %s runs already (pid %d)", vm.name, vm.pid);
	assert_non_null(strstr(second.errors, text));
	theseus__vm_response__free_unpacked(testclient_vm_status(&c), NULL);
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void test_stale(void **state)
{
	struct testvm vm, second = {0};
	struct testclient c;
	char sock[sizeof(vm.sock)];
	siginfo_t dead;

	(void)state;
	start_agent(&vm, &c);
	testclient_close(&c);
	assert_int_equal(kill(vm.pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)vm.pid, &dead, WEXITED | WNOWAIT), 0);
	memcpy(sock, vm.sock, sizeof(sock));
	/* what the first left is in its way: its places are not cleaned up yet */
	testvm_start(&second,
		     (const char *const[]){"--accel", accel, "--guest", testvm_guest("agent"),
					   "--name", vm.name, NULL});
	assert_non_null(strstr(second.line, "\"ready_ns\""));
	memcpy(second.sock, sock, sizeof(sock));
	testclient_connect(&c, &second);
	theseus__vm_response__free_unpacked(testclient_vm_stop(&c, false), NULL);
	testclient_close(&c);
	assert_int_equal(testvm_wait(&second), STATUS_POWEROFF);
	assert_int_equal(testvm_wait(&vm), 128 + SIGKILL);
}

/* The log was moved away by somebody: SIGHUP makes a new one at the old place. */
static void test_hangup(void **state)
{
	struct testclient c;
	struct testvm vm;
	struct stat st;
	char moved[160];

	(void)state;
	start_agent(&vm, &c);
	(void)snprintf(moved, sizeof(moved), "%s.moved", vm.log);
	assert_int_equal(rename(vm.log, moved), 0);
	assert_int_equal(kill(vm.pid, SIGHUP), 0);
	/* signals are not ordered with the socket: talk until it has been seen */
	while (stat(vm.log, &st) < 0)
		theseus__vm_response__free_unpacked(testclient_vm_status(&c), NULL);
	theseus__response__free_unpacked(testclient_exec(&c, "xc"), NULL);
	assert_false(testclient_receive(&c));
	testclient_close(&c);
	assert_true(testvm_logged(&vm, "a crash record would stand here"));
	assert_int_equal(testvm_wait(&vm), STATUS_CELL_CRASH);
}

/* ---- KVM only ---- */

static void test_nonsense(void **state)
{
	struct testclient c;
	struct testvm vm;

	(void)state;
	start(&vm, "nonsense", "1");
	assert_non_null(strstr(vm.line, "\"ready_ns\""));
	assert_true(testvm_logged(&vm, "all nonsense was survived"));
	assert_true(testvm_logged(&vm, "com1: a string for COM1"));
	testclient_connect(&c, &vm);
	assert_int_equal(testclient_metric(&c, "devices_broken"), 21);
	theseus__response__free_unpacked(testclient_exec(&c, "xm"), NULL);
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

/* vCPUs that nobody starts wait in the kernel, and still end when told to. */
static void test_many_cpus(void **state)
{
	struct testvm vm;

	(void)state;
	start(&vm, "agent", "16");
	assert_non_null(strstr(vm.line, "\"ready_ns\""));
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void test_large_memory(void **state)
{
	struct testvm vm = {0};

	(void)state;
	testvm_start(&vm, (const char *const[]){"--accel", "kvm", "--mem", "7168", "--guest",
						testvm_guest("agent"), NULL});
	assert_non_null(strstr(vm.line, "\"ready_ns\""));
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void test_no_access(void **state)
{
	struct testvm vm = {.unprivileged = true};
	struct stat st;

	(void)state;
	if (geteuid() != 0 || stat("/dev/kvm", &st) < 0 || st.st_mode & S_IROTH)
		skip(); /* only root can become a user who may not open it */
	testvm_start(&vm, (const char *const[]){"--accel", "kvm", "--guest", testvm_guest("agent"),
						NULL});
	assert_non_null(strstr(vm.line, "cannot open /dev/kvm: Permission denied"));
	assert_int_equal(testvm_wait(&vm), STATUS_NOT_STARTED);
	assert_non_null(strstr(vm.errors, "--accel tcg"));
}

/* ---- TCG only ---- */

static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	return (pid_t)strtol(text, NULL, 10);
}

static void test_auto_falls_back(void **state)
{
	struct testvm vm = {.unprivileged = true};
	Theseus__VmResponse *r;
	struct testclient c;
	struct stat st;

	(void)state;
	if (geteuid() != 0 || (stat("/dev/kvm", &st) == 0 && st.st_mode & S_IROTH))
		skip();
	testvm_start(&vm, (const char *const[]){"--guest", testvm_guest("agent"), NULL});
	assert_non_null(strstr(vm.line, "\"accel\":\"tcg\""));
	testclient_connect(&c, &vm);
	r = testclient_vm_status(&c);
	assert_non_null(strstr(r->vm->accel_reason, "/dev/kvm"));
	theseus__vm_response__free_unpacked(r, NULL);
	testclient_close(&c);
	assert_int_equal(testvm_stop(&vm), STATUS_POWEROFF);
}

static void test_child_dies(void **state)
{
	struct testclient c;
	struct testvm vm;

	(void)state;
	start_agent(&vm, &c);
	assert_int_equal(kill(child_of(vm.pid), SIGKILL), 0);
	assert_false(testclient_receive(&c));
	testclient_close(&c);
	assert_true(testvm_logged(&vm, "QEMU was killed by signal 9"));
	assert_int_equal(testvm_wait(&vm), STATUS_CHILD_DIED);
}

static void test_child_never_stays(void **state)
{
	struct testclient c;
	struct testvm vm;
	struct pollfd child = {.events = POLLIN};

	(void)state;
	start_agent(&vm, &c);
	child.fd = (int)syscall(SYS_pidfd_open, child_of(vm.pid), 0);
	assert_true(child.fd >= 0);
	assert_int_equal(kill(vm.pid, SIGKILL), 0);
	assert_int_equal(poll(&child, 1, 10000), 1);
	(void)close(child.fd);
	testclient_close(&c);
	assert_int_equal(testvm_wait(&vm), 128 + SIGKILL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest both[] = {
		cmocka_unit_test(test_hello),        cmocka_unit_test(test_status),
		cmocka_unit_test(test_stop),         cmocka_unit_test(test_ends),
		cmocka_unit_test(test_lost_request), cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_console),      cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_same_name),
		cmocka_unit_test(test_stale),        cmocka_unit_test(test_hangup),
	};
	const struct CMUnitTest kvm_only[] = {
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_many_cpus),
		cmocka_unit_test(test_large_memory),
		cmocka_unit_test(test_no_access),
	};
	const struct CMUnitTest tcg_only[] = {
		cmocka_unit_test(test_auto_falls_back),
		cmocka_unit_test(test_child_dies),
		cmocka_unit_test(test_child_never_stays),
	};
	struct failure f;
	struct vm vm;
	int failed;

	accel = argc == 2 ? argv[1] : "kvm";
	if (kvm()) {
		if (vm_open(&vm, &f) < 0) {
			fprintf(stderr, "skipped: %s\n", f.text);
			return 77;
		}
		vm_close(&vm);
	}
	failed = cmocka_run_group_tests_name(accel, both, NULL, NULL);
	if (kvm())
		failed += cmocka_run_group_tests(kvm_only, NULL, NULL);
	else
		failed += cmocka_run_group_tests(tcg_only, NULL, NULL);
	return failed ? 1 : 0;
}
