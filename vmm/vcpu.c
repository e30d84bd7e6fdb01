/* SPDX-License-Identifier: MIT */
#include "vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "metrics.h"
#include "vcpu-state.h"

#define KICK_SIGNAL SIGUSR1
#define STACK_BYTES (256u << 10)

static void on_kick(int sig)
{
	(void)sig; /* its only use is to interrupt KVM_RUN */
}

int vcpu_setup_signal(void)
{
	struct sigaction a = {.sa_handler = on_kick};

	return sigaction(KICK_SIGNAL, &a, NULL) < 0 ? -errno : 0;
}

void vcpu_gate_init(struct vcpu_gate *g)
{
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	g->open = false;
}

void vcpu_gate_deinit(struct vcpu_gate *g)
{
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

void vcpu_gate_open(struct vcpu_gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void gate_wait(struct vcpu_gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

int vcpu_init(struct vcpu *c, struct vm *vm, struct board *board, unsigned int index,
	      unsigned int cpus, struct cpuid_table *cpuid, struct failure *f)
{
	int khz;

	*c = (struct vcpu){.board = board, .index = index, .fd = -1, .run_size = vm->run_size};
	c->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, index);
	if (c->fd < 0)
		return failure(f, -errno, "/dev/kvm cannot create vCPU %u: %s", index,
			       strerror(errno));
	c->run = mmap(NULL, c->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED) {
		c->run = NULL;
		return failure(f, -errno, "cannot map the state of vCPU %u: %s", index,
			       strerror(errno));
	}
	khz = ioctl(c->fd, KVM_GET_TSC_KHZ, 0);
	if (cpuid_prepare(cpuid, &(struct cpuid_config){.cpu = index,
							.cpus = cpus,
							.tsc_khz = khz > 0 ? (uint32_t)khz : 0,
							.tsc_deadline = vm->tsc_deadline}) < 0)
		return failure(f, -E2BIG, "KVM supports more CPUID leaves than fit");
	if (ioctl(c->fd, KVM_SET_CPUID2, cpuid) < 0)
		return failure(f, -errno, "/dev/kvm refuses the CPUID of vCPU %u: %s", index,
			       strerror(errno));
	return 0;
}

void vcpu_deinit(struct vcpu *c)
{
	if (c->run)
		(void)munmap(c->run, c->run_size);
	c->run = NULL;
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

int vcpu_set_entry(struct vcpu *c, gpa_t entry, gpa_t start_info, struct failure *f)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	int e;

	if (ioctl(c->fd, KVM_GET_SREGS, &s) < 0)
		return failure(f, -errno, "/dev/kvm: KVM_GET_SREGS: %s", strerror(errno));
	vcpu_state_pvh(&s, &r, entry, start_info);
	e = vcpu_state_check(&s, &r, f);
	if (e < 0)
		return e;
	if (ioctl(c->fd, KVM_SET_SREGS, &s) < 0 || ioctl(c->fd, KVM_SET_REGS, &r) < 0)
		return failure(f, -errno, "/dev/kvm refuses the entry state: %s", strerror(errno));
	return 0;
}

static void internal_error(struct vcpu *c, const char *what, uint64_t detail)
{
	struct kvm_regs r = {0};

	(void)ioctl(c->fd, KVM_GET_REGS, &r);
	board_end(c->board, END_INTERNAL_ERROR, -1,
		  "KVM cannot run vCPU %u any further: %s (%" PRIu64 ") at rip 0x%" PRIx64
		  " rsp 0x%" PRIx64 " rflags 0x%" PRIx64,
		  c->index, what, detail, (uint64_t)r.rip, (uint64_t)r.rsp, (uint64_t)r.rflags);
}

static void system_event(struct vcpu *c)
{
	switch (c->run->system_event.type) {
	case KVM_SYSTEM_EVENT_RESET:
		board_end(c->board, END_RESET, -1, "the guest reset itself");
		return;
	default:
		internal_error(c, "system event", c->run->system_event.type);
	}
}

static void handle_exit(struct vcpu *c)
{
	struct kvm_run *run = c->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		metrics_add(METRIC_EXIT_IO, 1);
		board_io(c->board, run->io.direction == KVM_EXIT_IO_OUT, run->io.port,
			 (uint8_t *)run + run->io.data_offset, run->io.size, run->io.count);
		return;
	case KVM_EXIT_MMIO:
		metrics_add(METRIC_EXIT_MMIO, 1);
		board_mmio(c->board, run->mmio.is_write, run->mmio.phys_addr, run->mmio.data,
			   run->mmio.len);
		return;
	case KVM_EXIT_SHUTDOWN:
		board_end(c->board, END_TRIPLE_FAULT, -1, "triple fault on vCPU %u", c->index);
		return;
	case KVM_EXIT_SYSTEM_EVENT:
		system_event(c);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		internal_error(c, "VM entry refused, hardware reason",
			       run->fail_entry.hardware_entry_failure_reason);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		internal_error(c, "internal error", run->internal.suberror);
		return;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		metrics_add(METRIC_EXIT_OTHER, 1);
		return;
	default:
		internal_error(c, "unknown exit", run->exit_reason);
	}
}

static void run_guest(struct vcpu *c)
{
	for (;;) {
		__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (atomic_load(&c->requests) & VCPU_STOP || atomic_load(&c->board->ended))
			return;
		if (ioctl(c->fd, KVM_RUN, 0) == 0)
			handle_exit(c);
		else if (errno == EINTR)
			metrics_add(METRIC_EXIT_INTERRUPTED, 1);
		else if (errno != EAGAIN) /* a CPU that waits for SIPI; it slept in the kernel */
			internal_error(c, strerror(errno), (uint64_t)errno);
	}
}

static void *thread_main(void *arg)
{
	struct vcpu *c = arg;
	int r = c->prepare ? c->prepare() : 0;

	if (r < 0)
		board_end(c->board, END_INTERNAL_ERROR, -1, "cannot confine vCPU %u: %s", c->index,
			  strerror(-r));
	gate_wait(c->gate);
	run_guest(c);
	return NULL;
}

/* The thread takes no signal but the kick; the rest is for the loop thread. */
static int create_thread(struct vcpu *c)
{
	sigset_t threads, before;
	pthread_attr_t attr;
	int r;

	sigfillset(&threads);
	sigdelset(&threads, KICK_SIGNAL);
	sigdelset(&threads, SIGSYS);
	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &threads, &before);
	r = pthread_create(&c->thread, &attr, thread_main, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

int vcpu_start(struct vcpu *c, struct vcpu_gate *gate, int (*prepare)(void), struct failure *f)
{
	int r;

	c->gate = gate;
	c->prepare = prepare;
	r = create_thread(c);
	if (r < 0)
		return failure(f, r, "cannot start the thread of vCPU %u: %s", c->index,
			       strerror(-r));
	c->started = true;
	return 0;
}

void vcpu_kick(struct vcpu *c, enum vcpu_request request)
{
	metrics_add(METRIC_KICKS, 1);
	atomic_fetch_or(&c->requests, request);
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (c->started)
		(void)pthread_kill(c->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *c)
{
	if (c->started)
		(void)pthread_join(c->thread, NULL);
	c->started = false;
}
