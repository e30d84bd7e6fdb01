/* SPDX-License-Identifier: MIT */
/* run: a VM in the foreground with its log, or detached. */
#include "run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "log.h"
#include "render.h"
#include "util.h"
#include "vm.h"

#define END_LIMIT_NS (10 * NS_PER_SEC)

static int check_choice(struct ctl *c, const char *accel)
{
	if (!accel || !strcmp(accel, "auto") || !strcmp(accel, "kvm") || !strcmp(accel, "tcg"))
		return 0;
	return ctl_error(c, CTL_USAGE, "usage", "--accel %.40s: auto, kvm or tcg is expected",
			 accel);
}

static int read_options(struct ctl *c, struct run_config *config)
{
	int r = target_new_name(c, &config->name);

	config->accel = ctl_option(c, "accel");
	config->guest = ctl_option(c, "guest");
	config->bundle = ctl_option(c, "bundle");
	config->cmdline = ctl_option(c, "cmdline");
	config->detach = ctl_option(c, "detach") != NULL;
	if (!r)
		r = check_choice(c, config->accel);
	if (!r)
		r = ctl_option_number(c, "cpus", 1, 16, &config->cpus);
	if (!r)
		r = ctl_option_number(c, "mem", 1, 1 << 20, &config->memory_mib);
	if (!r)
		r = ctl_option_duration(c, "timeout", &config->timeout_ns);
	return r;
}

/* A VM that is shown in the foreground. */
struct foreground {
	struct ctl *ctl;
	struct client *cl;
	struct log_view log;
	uint64_t wait_id;
	unsigned int signals; /* that asked to end */
	Theseus__VmResponse *end;
};

static int signals_fd(struct ctl *c)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		(void)ctl_error(c, CTL_FAILED, "system", "signals: %s", strerror(errno));
	return fd;
}

/* The first signal asks the guest to shut down, the next one does not ask. */
static int on_signal(struct foreground *fg, int fd)
{
	Theseus__VmRequest req = THESEUS__VM_REQUEST__INIT;
	Theseus__VmStop stop = THESEUS__VM_STOP__INIT;
	struct signalfd_siginfo info;
	uint64_t id;

	if (read(fd, &info, sizeof(info)) < 0)
		return 0;
	stop.force = fg->signals++ > 0;
	stop.time_limit_ns = VM_STOP_LIMIT_NS;
	req.body_case = THESEUS__VM_REQUEST__BODY_STOP;
	req.stop = &stop;
	ctl_note(fg->ctl, stop.force ? "ending the VM" : "asking the guest to shut down");
	return client_post_vm(fg->cl, &req, &id);
}

/* Shows the log until the VM has ended. Result: exit status; CTL_LOST is the normal way out. */
static int show_log(struct foreground *fg, int signals)
{
	struct transport_watch watch = {.fd = signals};
	int r;

	fg->log.cl = fg->cl;
	fg->cl->on_event = log_on_event;
	fg->cl->arg = &fg->log;
	r = log_fetch(&fg->log, true);
	if (!r)
		r = client_post_wait(fg->cl, &fg->wait_id);
	while (!r && !fg->end) {
		r = log_fill(&fg->log);
		if (!r)
			r = client_wait(fg->cl, &watch, 1, fg->wait_id, UINT64_MAX, &fg->end);
		if (!r && watch.ready)
			r = on_signal(fg, signals);
	}
	return r;
}

static int judge_end(struct foreground *fg, const char *name, int status)
{
	const Theseus__VmExit *exit =
		fg->end && fg->end->body_case == THESEUS__VM_RESPONSE__BODY_EXIT ? fg->end->exit
										 : NULL;
	CLEANUP_FREE char *reason =
		exit ? clean_text(exit->reason, strlen(exit->reason), false) : NULL;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		(fg->ctl->json ? json_ended : text_ended)(fg->ctl, name, exit);
		return 0;
	}
	if (WIFSIGNALED(status))
		return ctl_error(fg->ctl, CTL_LOST, "vmm-killed",
				 "%s: theseus-vmm was killed by signal %d", name, WTERMSIG(status));
	return ctl_error(fg->ctl, CTL_LOST, "guest-lost", "%s: %s", name,
			 reason && *reason ? reason : "the VM ended with an error");
}

/* The process is gone or going: waits for its end and says what it was. */
static int reap_and_judge(struct foreground *fg, const struct run_vm *vm)
{
	int status = 0, r;

	ctl_error_clear(fg->ctl);
	r = run_reap(fg->ctl, vm->pid, END_LIMIT_NS, &status);
	return r ? r : judge_end(fg, vm->target.name, status);
}

int run_end(struct ctl *c, const struct run_vm *vm, struct client *cl, int result)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *response = NULL;
	struct ctl_error saved = c->error;
	int status, r;

	c->error = (struct ctl_error){0};
	r = cl ? vm_end(cl, true, 0, &response) : 0;
	if (run_reap(c, vm->pid, 5 * NS_PER_SEC, &status))
		r = c->error.status;
	if (!result)
		return r;
	ctl_error_clear(c);
	c->error = saved;
	return result;
}

static int run_foreground(struct ctl *c, struct client *cl, const struct run_vm *vm)
{
	struct foreground fg = {.ctl = c, .cl = cl};
	CLEANUP_FD int signals = signals_fd(c);
	int r;

	if (signals < 0)
		return c->error.status;
	r = show_log(&fg, signals);
	if (!r || r == CTL_LOST)
		r = reap_and_judge(&fg, vm);
	else
		(void)kill(vm->pid, SIGTERM);
	theseus__vm_response__free_unpacked(fg.end, NULL);
	return r;
}

int cmd_run(struct ctl *c, int argc, char **argv)
{
	struct run_config config = {.cpus = 1, .memory_mib = 128, .timeout_ns = RUN_TIMEOUT_NS};
	CLEANUP_VM_RESPONSE Theseus__VmResponse *status = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	struct run_view view = {.marks = ctl_option(c, "verbose") != NULL};
	struct run_vm vm;
	int r = read_options(c, &config);

	(void)argc;
	(void)argv;
	if (!r)
		r = run_start(c, &config, &vm);
	if (r)
		return r;
	r = client_open(c, &vm.target, &cl);
	if (!r)
		r = vm_status(cl, &status);
	/* It was ready, so one that does not answer any more has ended in between. */
	if (r == CTL_NO_VM || r == CTL_LOST) {
		struct foreground fg = {.ctl = c};

		return reap_and_judge(&fg, &vm);
	}
	if (r)
		return r;
	view.socket = vm.target.path;
	view.vm = status->vm;
	(c->json ? json_run : text_run)(c, &view);
	return config.detach ? 0 : run_foreground(c, cl, &vm);
}
