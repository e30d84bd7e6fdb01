/* SPDX-License-Identifier: MIT */
/*
 * A vCPU and its thread. The thread runs the guest, handles its own exits, and ends when the
 * machine ends or when it is told to.
 *
 * A kick makes the thread look at its requests soon, wherever it is:
 *   kicker: set the request, set immediate_exit, send the signal;
 *   thread: clear immediate_exit, then look at the requests, then KVM_RUN.
 * In the guest the signal interrupts KVM_RUN; between the look and KVM_RUN the flag makes it
 * return at once; before the look the request is seen. So no kick is lost and none repeated.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "board.h"
#include "vm.h"

enum vcpu_request {
	VCPU_STOP = 1 << 0, /* leave the thread */
};

struct vcpu {
	struct board *board; /* borrowed */
	unsigned int index;
	int fd; /* -1 when closed */
	struct kvm_run *run;
	size_t run_size;
	_Atomic uint32_t requests;
	pthread_t thread;
	bool started;
	int (*prepare)(void); /* first thing in the thread: confines it */
	struct vcpu_gate *gate;
};

/* Holds started threads back until the machine may run. */
struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
};

void vcpu_gate_init(struct vcpu_gate *g);
void vcpu_gate_open(struct vcpu_gate *g);
void vcpu_gate_deinit(struct vcpu_gate *g);

/* To be called once, before the first thread: the signal that kicks. Result: 0 or -errno. */
int vcpu_setup_signal(void) __attribute__((warn_unused_result));

/* Creates vCPU @index (its APIC id) of @cpus with @cpuid. @board outlives it. */
int vcpu_init(struct vcpu *c, struct vm *vm, struct board *board, unsigned int index,
	      unsigned int cpus, struct cpuid_table *cpuid, struct failure *f)
	__attribute__((warn_unused_result));

/* The thread must have been joined. Also after a failed init, and twice. */
void vcpu_deinit(struct vcpu *c);

/* Sets the PVH entry state; only for vCPU 0, the others wait for INIT and SIPI. */
int vcpu_set_entry(struct vcpu *c, gpa_t entry, gpa_t start_info, struct failure *f)
	__attribute__((warn_unused_result));

/*
 * Starts the thread, which waits at @gate. @prepare (may be NULL) runs first in it; if it
 * fails the machine ends.
 */
int vcpu_start(struct vcpu *c, struct vcpu_gate *gate, int (*prepare)(void), struct failure *f)
	__attribute__((warn_unused_result));

/* Asks the thread for @request; from any other thread. */
void vcpu_kick(struct vcpu *c, enum vcpu_request request);

/* Waits for the thread to end: it was kicked with VCPU_STOP, and the gate is open. */
void vcpu_join(struct vcpu *c);

#endif
