/* SPDX-License-Identifier: MIT */
/*
 * For tests: a theseus-vmm process, what it says, and connections to its socket. A failure
 * of the harness itself ends the test program; alarm(2) ends one that hangs.
 */
#ifndef VMM_TESTVM_H
#define VMM_TESTVM_H

#include <stdbool.h>
#include <sys/types.h>

#include "control.pb-c.h"
#include "frame.h"

struct testvm {
	pid_t pid;
	char name[32];
	char dir[128], sock[160], log[128]; /* its places */
	char line[1200];   /* what came on the ready descriptor; "" if nothing did */
	char errors[2048]; /* stderr, once it has ended */
	int errors_fd;
	bool unprivileged; /* set before start: run as user 65534 */
};

struct testclient {
	int fd;
	uint64_t last_id;
	struct frame_decoder decoder;
	const uint8_t *rest;
	size_t rest_len;
	uint8_t piece[4096];
	struct frame frame; /* the last one, borrowed */
};

/* Path of test guest @name. Result: static storage. */
const char *testvm_guest(const char *name);

/*
 * Starts theseus-vmm with a name of its own and @args (NULL-terminated), and waits for the
 * line on its ready descriptor, or its end. @vm is zero but for options.
 */
void testvm_start(struct testvm *vm, const char *const *args);

/* Waits for the end. Result: exit status, or 128 + signal. Then everything is cleaned up. */
int testvm_wait(struct testvm *vm);

/* SIGTERM, then testvm_wait(). */
int testvm_stop(struct testvm *vm);

/* Is @text in the log? */
bool testvm_logged(const struct testvm *vm, const char *text);

void testclient_connect(struct testclient *c, const struct testvm *vm);
void testclient_close(struct testclient *c);

/* Sends a frame with the next request id. Result: the id. */
uint64_t testclient_send(struct testclient *c, enum frame_type type, const void *payload,
			 size_t len);

/* Waits for a frame. Result: false when the connection was closed. */
bool testclient_receive(struct testclient *c);

/* Request and answer; the answer is freed with *_free_unpacked(). */
Theseus__VmResponse *testclient_vm(struct testclient *c, const Theseus__VmRequest *q);
Theseus__Response *testclient_guest(struct testclient *c, const Theseus__Request *q);

/* Shorthands. */
Theseus__VmResponse *testclient_vm_stop(struct testclient *c, bool force);
Theseus__VmResponse *testclient_vm_status(struct testclient *c);
Theseus__Response *testclient_exec(struct testclient *c, const char *command);
uint64_t testclient_metric(struct testclient *c, const char *name);

#endif
