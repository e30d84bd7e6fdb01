/* SPDX-License-Identifier: MIT */
/* ls, status, stop, kill, metrics */
#include "vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "commands.h"
#include "libvirt.h"
#include "render.h"
#include "target.h"
#include "util.h"

#define LOOK_LIMIT_NS (2 * NS_PER_SEC) /* for a guest's part of ls and status */
#define PROCESS_END_LIMIT_MS 5000

static int ask_status(struct client *cl, uint64_t limit_ns, Theseus__VmResponse **ret_response)
{
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStatusGet get = THESEUS__VM_STATUS_GET__INIT;
	Theseus__VmResponse *response = NULL;
	int r;

	req.body_case = THESEUS__VM_REQUEST__BODY_STATUS;
	req.status = &get;
	r = client_call_vm(cl, &req, limit_ns, &response);
	if (r)
		return r;
	if (response->body_case != THESEUS__VM_RESPONSE__BODY_VM) {
		theseus__vm_response__free_unpacked(response, NULL);
		return client_fail(cl, -EPROTO, 0);
	}
	*ret_response = response;
	return 0;
}

int vm_status(struct client *cl, Theseus__VmResponse **ret_response)
{
	return ask_status(cl, 0, ret_response);
}

static int guest_ask(struct client *cl, Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__StatusGet get = THESEUS__STATUS_GET__INIT;

	req.body_case = THESEUS__REQUEST__BODY_STATUS;
	req.status = &get;
	cl->hello_limit_ns = LOOK_LIMIT_NS;
	return client_call(cl, &req, LOOK_LIMIT_NS, THESEUS__RESPONSE__BODY_GUEST, ret_response);
}

/* The same where theseus-vmm has answered: that the guest does not is a finding, no error. */
static Theseus__Response *guest_status(struct client *cl)
{
	Theseus__Response *response = NULL;

	if (guest_ask(cl, &response))
		ctl_error_clear(cl->ctl);
	return response;
}

/* A VM and the answers its view points into. */
struct vm_answers {
	struct vm_view view;
	Theseus__VmResponse *vm;
	Theseus__Response *guest;
	struct domain_info domain;
};

static void answers_free(struct vm_answers *a)
{
	theseus__vm_response__free_unpacked(a->vm, NULL);
	theseus__response__free_unpacked(a->guest, NULL);
}

static void look_at_domain(struct client *cl, struct vm_answers *a)
{
	domain_get_info(cl->link, &a->domain);
	a->view.state = "ready";
	a->view.accel = a->domain.accel;
	a->view.memory_bytes = a->domain.memory_bytes;
	a->view.cpus = a->domain.cpus;
	a->view.uptime_ns = a->guest->guest->uptime_ns;
}

static int look_at_vmm(struct client *cl, uint64_t limit_ns, struct vm_answers *a)
{
	int r = ask_status(cl, limit_ns, &a->vm);

	if (r)
		return r;
	a->view.vm = a->vm->vm;
	a->view.name = a->vm->vm->name;
	a->view.state = a->vm->vm->state;
	a->view.accel = a->vm->vm->accel;
	a->view.pid = a->vm->vm->pid;
	a->view.uptime_ns = a->vm->vm->uptime_ns;
	a->view.memory_bytes = a->vm->vm->memory_bytes;
	a->view.cpus = a->vm->vm->cpus;
	return 0;
}

/* Fills @a within @limit_ns; answers_free() it also after a failure. */
static int look(struct ctl *c, const struct target *target, uint64_t limit_ns, struct vm_answers *a)
{
	CLEANUP_CLIENT struct client *cl = NULL;
	int r = client_open(c, target, &cl);

	if (r)
		return r;
	a->view.name = target->name;
	if (target->kind == TARGET_SOCKET) {
		r = look_at_vmm(cl, limit_ns, a);
		if (!r && !strcmp(a->view.state, "ready"))
			a->guest = guest_status(cl);
	} else {
		/* Here the guest is the only one to ask, so that it does not answer is the answer.
		 */
		r = guest_ask(cl, &a->guest);
		if (!r)
			look_at_domain(cl, a);
	}
	a->view.guest = a->guest ? a->guest->guest : NULL;
	return r;
}

int cmd_status(struct ctl *c, int argc, char **argv)
{
	struct vm_answers a = {0};
	struct target target;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r)
		r = look(c, &target, CLIENT_LIMIT_NS, &a);
	if (!r)
		(c->json ? json_vm : text_vm)(c, &a.view, ctl_option(c, "verbose") != NULL);
	answers_free(&a);
	return r;
}

/* A VM that does not answer is one all the same, and its operator looks for it. */
static void look_silent(const char *name, struct vm_answers *a)
{
	a->view = (struct vm_view){.name = name, .state = "no answer", .accel = "unknown"};
}

static int ls_collect(struct ctl *c, char **names, size_t n, struct vm_answers *answers,
		      struct vm_view *views, size_t *ret_n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		struct target t = {.kind = TARGET_SOCKET, .name = names[i]};

		if (target_path(c, names[i], "sock", t.path, sizeof(t.path)))
			return c->error.status;
		if (look(c, &t, LOOK_LIMIT_NS, &answers[i])) {
			if (c->error.status != CTL_NO_VM)
				return c->error.status;
			ctl_error_clear(c);
			/* One that ends between listing and looking is not there any more. */
			if (!target_listens(c, names[i]))
				continue;
			look_silent(names[i], &answers[i]);
		}
		views[found++] = answers[i].view;
	}
	*ret_n = found;
	return 0;
}

int cmd_ls(struct ctl *c, int argc, char **argv)
{
	struct vm_answers *answers;
	struct vm_view *views;
	char **names;
	size_t n, found = 0;
	int r = target_list(c, &names, &n);

	(void)argc;
	(void)argv;
	if (r)
		return r;
	answers = calloc(n + 1, sizeof(*answers));
	views = calloc(n + 1, sizeof(*views));
	r = answers && views ? ls_collect(c, names, n, answers, views, &found) : ctl_oom(c);
	if (!r)
		(c->json ? json_vms : text_vms)(c, views, found);
	for (size_t i = 0; answers && i < n; i++)
		answers_free(&answers[i]);
	free(answers);
	free(views);
	target_list_free(names, n);
	return r;
}

/* Waits until the process of @pidfd is gone. Result: 0 or -ETIMEDOUT. */
static int wait_process(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, PROCESS_END_LIMIT_MS);
	while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : -ETIMEDOUT;
}

/* Asks theseus-vmm to end. A link that closes instead of an answer says the same as one. */
static int ask_to_end(struct client *cl, bool force, uint64_t limit_ns,
		      Theseus__VmResponse **ret_response)
{
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStop stop = THESEUS__VM_STOP__INIT;
	int r;

	stop.force = force;
	stop.time_limit_ns = limit_ns;
	req.body_case = THESEUS__VM_REQUEST__BODY_STOP;
	req.stop = &stop;
	cl->greeted = true; /* there is a VM: from here on a closed link means that it ended */
	r = client_call_vm(cl, &req, limit_ns + PROCESS_END_LIMIT_MS * NS_PER_MS, ret_response);
	if (r != CTL_LOST)
		return r;
	ctl_error_clear(cl->ctl);
	return 0;
}

int vm_end(struct client *cl, bool force, uint64_t limit_ns, Theseus__VmResponse **ret_response)
{
	pid_t pid = transport_peer(cl->link);
	/* Taken before it is told to end, so that it cannot become another process's. */
	CLEANUP_FD int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	int r = ask_to_end(cl, force, limit_ns, ret_response);

	if (force && r && pidfd >= 0) {
		if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0))
			return r;
		ctl_error_clear(cl->ctl);
		r = 0;
	}
	if (!r && pidfd >= 0 && wait_process(pidfd))
		return ctl_error(cl->ctl, CTL_TIMED_OUT, "timed-out",
				 "theseus-vmm (process %d) does not end; see \"theseusctl kill\"",
				 (int)pid);
	return r;
}

/* A libvirt domain: the guest is asked, and the channel closes when it has ended. */
static int stop_domain(struct client *cl, uint64_t limit_ns)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Shutdown body = THESEUS__SHUTDOWN__INIT;
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	Theseus__VmResponse *none;
	uint64_t deadline = now_ns() + limit_ns;
	uint8_t id[16];
	int r;

	req.body_case = THESEUS__REQUEST__BODY_SHUTDOWN;
	req.shutdown = &body;
	r = client_new_id(cl, &req, id);
	if (!r)
		r = client_call(cl, &req, limit_ns, THESEUS__RESPONSE__BODY__NOT_SET, &response);
	while (!r)
		r = client_wait(cl, NULL, 0, 0, deadline, &none);
	if (r != CTL_LOST)
		return r;
	ctl_error_clear(cl->ctl);
	if (domain_wait_off(cl->link, deadline))
		return ctl_error(
			cl->ctl, CTL_TIMED_OUT, "timed-out",
			"%s: the guest has ended, but libvirt does not say that the domain is off",
			cl->target->name);
	return 0;
}

static int end_target(struct ctl *c, const struct target *target, bool force, uint64_t limit_ns,
		      Theseus__VmResponse **ret_response)
{
	CLEANUP_CLIENT struct client *cl = NULL;
	int r;

	if (target->kind == TARGET_DOMAIN && force)
		return domain_destroy(c, c->connect, target->name, VM_STOP_LIMIT_NS);
	r = client_open(c, target, &cl);
	if (r)
		return r;
	return target->kind == TARGET_DOMAIN ? stop_domain(cl, limit_ns)
					     : vm_end(cl, force, limit_ns, ret_response);
}

static int end_command(struct ctl *c, bool force)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *response = NULL;
	uint64_t limit_ns = force ? 0 : VM_STOP_LIMIT_NS;
	struct target target;
	int r = target_resolve(c, TARGET_CHANGES, &target);

	if (!r && !force)
		r = ctl_option_duration(c, "timeout", &limit_ns);
	if (!r)
		r = end_target(c, &target, force, limit_ns, &response);
	if (!r)
		(c->json ? json_ended : text_ended)(
			c, target.name,
			response && response->body_case == THESEUS__VM_RESPONSE__BODY_EXIT
				? response->exit
				: NULL);
	return r;
}

int cmd_stop(struct ctl *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return end_command(c, false);
}

int cmd_kill(struct ctl *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return end_command(c, true);
}

int cmd_metrics(struct ctl *c, int argc, char **argv)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmMetricsGet get = THESEUS__VM_METRICS_GET__INIT;
	struct target target;
	int r = target_resolve(c, TARGET_READS, &target);

	(void)argc;
	(void)argv;
	if (!r)
		r = client_open(c, &target, &cl);
	if (r)
		return r;
	req.body_case = THESEUS__VM_REQUEST__BODY_METRICS;
	req.metrics = &get;
	r = client_call_vm(cl, &req, 0, &response);
	if (r)
		return r;
	if (response->body_case != THESEUS__VM_RESPONSE__BODY_METRICS)
		return client_fail(cl, -EPROTO, 0);
	(c->json ? json_metrics : text_metrics)(c, target.name, response->metrics);
	return 0;
}
