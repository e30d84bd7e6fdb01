/* SPDX-License-Identifier: MIT */
#include "testvm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 32
#define NOBODY 65534

static _Noreturn void die(const char *what)
{
	perror(what);
	abort();
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	if (!v) {
		fprintf(stderr, "%s is not set\n", name);
		abort();
	}
	return v;
}

const char *testvm_guest(const char *name)
{
	static char path[4096];

	(void)snprintf(path, sizeof(path), "%s/testguest-%s.elf", env("TESTGUESTS"), name);
	return path;
}

/* Directories of its own for an unprivileged VM; root has fixed ones. */
static void set_places(struct testvm *vm)
{
	static unsigned int serial;
	bool root = geteuid() == 0 && !vm->unprivileged;
	char base[64];

	(void)snprintf(vm->name, sizeof(vm->name), "test-%ld-%u", (long)getpid(), serial++);
	(void)snprintf(base, sizeof(base), "/tmp/theseus-%s", vm->name);
	if (!root) {
		if (mkdir(base, 0700) < 0)
			die(base);
		if (vm->unprivileged && chown(base, NOBODY, NOBODY) < 0)
			die(base);
		(void)setenv("XDG_RUNTIME_DIR", base, 1);
		(void)setenv("XDG_STATE_HOME", base, 1);
	}
	(void)snprintf(vm->dir, sizeof(vm->dir), "%s/theseus/%s", root ? "/run" : base, vm->name);
	(void)snprintf(vm->sock, sizeof(vm->sock), "%s/sock", vm->dir);
	(void)snprintf(vm->log, sizeof(vm->log), "%s/theseus/%s/vmm.log", root ? "/var/lib" : base,
		       vm->name);
}

static _Noreturn void become_vmm(struct testvm *vm, const char *const *args, int ready, int errors)
{
	const char *argv[ARGS_MAX] = {env("THESEUS_VMM"), "--name", vm->name, "--ready-fd", "3"};
	union {
		const char **in;
		char **out;
	} cast = {argv};
	int n = 5;

	for (; *args && n < ARGS_MAX - 1; args++)
		argv[n++] = *args;
	/* an aborted test program leaves nothing behind */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(126);
	(void)dup2(errors, 2);
	(void)dup2(ready, 3);
	if (vm->unprivileged && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(126);
	(void)execv(argv[0], cast.out);
	_exit(127);
}

static void read_line(struct testvm *vm, int fd)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, vm->line + used, sizeof(vm->line) - 1 - used)) > 0)
		used += (size_t)n;
	vm->line[used] = '\0';
}

void testvm_start(struct testvm *vm, const char *const *args)
{
	int ready[2], errors[2];

	(void)alarm(120);
	set_places(vm);
	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0)
		die("pipe");
	vm->pid = fork();
	if (vm->pid < 0)
		die("fork");
	if (vm->pid == 0)
		become_vmm(vm, args, ready[1], errors[1]);
	(void)close(ready[1]);
	(void)close(errors[1]);
	vm->errors_fd = errors[0];
	read_line(vm, ready[0]); /* until it closes the descriptor, or ends */
	(void)close(ready[0]);
}

static void remove_places(struct testvm *vm)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "rm -rf %.100s /tmp/theseus-%s", vm->dir,
		       vm->name);
	if (system(command) != 0)
		die(command);
	*strrchr(vm->log, '/') = '\0';
	(void)snprintf(command, sizeof(command), "rm -rf %.120s", vm->log);
	if (system(command) != 0)
		die(command);
}

int testvm_wait(struct testvm *vm)
{
	size_t used = 0;
	int status;
	ssize_t n;

	while ((n = read(vm->errors_fd, vm->errors + used, sizeof(vm->errors) - 1 - used)) > 0)
		used += (size_t)n;
	vm->errors[used] = '\0';
	(void)close(vm->errors_fd);
	while (waitpid(vm->pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	if (used)
		fprintf(stderr, "[%s] %s", vm->name, vm->errors);
	remove_places(vm);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int testvm_stop(struct testvm *vm)
{
	(void)kill(vm->pid, SIGTERM);
	return testvm_wait(vm);
}

bool testvm_logged(const struct testvm *vm, const char *text)
{
	FILE *f = fopen(vm->log, "re");
	char line[4096];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text) != NULL;
	if (f)
		(void)fclose(f);
	return found;
}

void testclient_connect(struct testclient *c, const struct testvm *vm)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%.*s", (int)sizeof(a.sun_path) - 1,
		       vm->sock);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die(vm->sock);
	c->last_id = 0;
	c->rest_len = 0;
	frame_decoder_init(&c->decoder);
}

void testclient_close(struct testclient *c)
{
	(void)close(c->fd);
}

uint64_t testclient_send(struct testclient *c, enum frame_type type, const void *payload,
			 size_t len)
{
	struct frame_header h = {
		.type = type,
		.length = (uint32_t)len,
		.request_id = ++c->last_id,
	};
	uint8_t header[FRAME_HEADER_SIZE];

	if (frame_encode_header(&h, payload, header) < 0)
		die("encode");
	if (send(c->fd, header, sizeof(header), MSG_NOSIGNAL) != sizeof(header) ||
	    (len && send(c->fd, payload, len, MSG_NOSIGNAL) != (ssize_t)len))
		die("send");
	return h.request_id;
}

bool testclient_receive(struct testclient *c)
{
	for (;;) {
		size_t taken;
		ssize_t n;

		if (frame_decode(&c->decoder, c->rest, c->rest_len, &taken, &c->frame)) {
			c->rest += taken;
			c->rest_len -= taken;
			return true;
		}
		n = recv(c->fd, c->piece, sizeof(c->piece), 0);
		if (n <= 0)
			return false;
		c->rest = c->piece;
		c->rest_len = (size_t)n;
	}
}

/* Waits for the answer @id of @type; whatever else comes meanwhile is dropped. */
static void await(struct testclient *c, enum frame_type type, uint64_t id)
{
	while (testclient_receive(c))
		if (c->frame.header.type == type && c->frame.header.request_id == id)
			return;
	fprintf(stderr, "the connection was closed before the answer\n");
	abort();
}

Theseus__VmResponse *testclient_vm(struct testclient *c, const Theseus__VmRequest *q)
{
	uint8_t payload[512];
	size_t len = theseus__vm_request__pack(q, payload);

	await(c, FRAME_VM_RESPONSE, testclient_send(c, FRAME_VM_REQUEST, payload, len));
	return theseus__vm_response__unpack(NULL, c->frame.header.length, c->frame.payload);
}

Theseus__Response *testclient_guest(struct testclient *c, const Theseus__Request *q)
{
	uint8_t payload[512];
	size_t len = theseus__request__pack(q, payload);

	await(c, FRAME_RESPONSE, testclient_send(c, FRAME_REQUEST, payload, len));
	return theseus__response__unpack(NULL, c->frame.header.length, c->frame.payload);
}

Theseus__VmResponse *testclient_vm_stop(struct testclient *c, bool force)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStop stop = THESEUS__VM_STOP__INIT;

	stop.force = force;
	q.body_case = THESEUS__VM_REQUEST__BODY_STOP;
	q.stop = &stop;
	return testclient_vm(c, &q);
}

Theseus__VmResponse *testclient_vm_status(struct testclient *c)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStatusGet get = THESEUS__VM_STATUS_GET__INIT;

	q.body_case = THESEUS__VM_REQUEST__BODY_STATUS;
	q.status = &get;
	return testclient_vm(c, &q);
}

Theseus__Response *testclient_exec(struct testclient *c, const char *command)
{
	Theseus__Request q = THESEUS__REQUEST__INIT;
	Theseus__Exec exec = THESEUS__EXEC__INIT;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", command);
	exec.command = text;
	q.body_case = THESEUS__REQUEST__BODY_EXEC;
	q.exec = &exec;
	return testclient_guest(c, &q);
}

uint64_t testclient_metric(struct testclient *c, const char *name)
{
	Theseus__VmRequest q = THESEUS__VM_REQUEST__INIT;
	Theseus__VmMetricsGet get = THESEUS__VM_METRICS_GET__INIT;
	Theseus__VmResponse *r;
	uint64_t value = UINT64_MAX;

	q.body_case = THESEUS__VM_REQUEST__BODY_METRICS;
	q.metrics = &get;
	r = testclient_vm(c, &q);
	for (size_t i = 0; i < r->metrics->n_counters; i++)
		if (!strcmp(r->metrics->counters[i]->name, name))
			value = r->metrics->counters[i]->value;
	theseus__vm_response__free_unpacked(r, NULL);
	return value;
}
