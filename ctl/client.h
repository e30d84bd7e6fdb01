/* SPDX-License-Identifier: MIT */
/*
 * A session with a VM: requests and their answers, events in between, time limits, and
 * re-sending after a broken link. One thread; every wait ends by a deadline.
 */
#ifndef THESEUS_CTL_CLIENT_H
#define THESEUS_CTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.pb-c.h"
#include "ctl.h"
#include "frame.h"
#include "target.h"
#include "transport.h"

#define CLIENT_PROTOCOL 1
#define CLIENT_LIMIT_NS (10ull * 1000000000ull) /* for an answer, where nothing else is said */

struct client;

/* Called from within a wait. @event and @data are borrowed for the call. */
typedef void (*client_event_fn)(struct client *cl, const Theseus__Event *event, void *arg);
typedef void (*client_console_fn)(struct client *cl, const uint8_t *data, size_t len, void *arg);

struct client {
	struct ctl *ctl;
	const struct target *target;
	struct transport *link;
	struct frame_decoder *decoder;
	uint8_t in[16384]; /* [in_at, in_end): read, not decoded yet */
	size_t in_at, in_end;
	uint64_t next_id;
	uint64_t hello_limit_ns;
	bool greeted;                /* Hello was answered: a guest is there */
	Theseus__Response *greeting; /* that answer */
	client_event_fn on_event;
	client_console_fn on_console;
	void *arg;
};

/*
 * Connects to @target, which is borrowed until client_close(). Result: 0 or an exit status.
 * On failure *ret_client is untouched.
 */
int client_open(struct ctl *c, const struct target *target, struct client **ret_client);

/* The same over a connected link (taken over): for tests and for what opens its own. */
int client_open_link(struct ctl *c, struct transport *link, struct client **ret_client);

void client_close(struct client *cl); /* NULL is fine */
void client_closep(struct client **cl);
#define CLEANUP_CLIENT __attribute__((cleanup(client_closep)))

/* Says Hello to the guest, once a session. client_call() does so by itself. */
int client_hello(struct client *cl);

/*
 * One request to the guest and its answer, within @limit_ns (0: CLIENT_LIMIT_NS). After a broken
 * link the same request is sent again over a new one. @req is borrowed; its time limit and
 * idempotency id are sent as they stand (client_new_id()). @body is what the answer must hold
 * (NOT_SET: nothing is read from it): another one is an error of the protocol.
 * Result: 0 and *ret_response (free with theseus__response__free_unpacked) when the guest
 * said STATUS_OK, else the exit status that its answer means, with the error set.
 */
int client_call(struct client *cl, const Theseus__Request *req, uint64_t limit_ns,
		Theseus__Response__BodyCase body, Theseus__Response **ret_response);

/* The same to theseus-vmm itself; not re-sent. A libvirt domain has none: CTL_USAGE. */
int client_call_vm(struct client *cl, const Theseus__VmRequest *req, uint64_t limit_ns,
		   Theseus__VmResponse **ret_response);

/* Sends a request to theseus-vmm and does not wait: client_wait() reports its answer. */
int client_post_vm(struct client *cl, const Theseus__VmRequest *req, uint64_t *ret_id);

/* Has theseus-vmm answer with VmExit when the VM ends, whenever that is. */
int client_post_wait(struct client *cl, uint64_t *ret_id);

/*
 * The error for a link that ended while waiting for what only the VM's end ends. @end is the answer
 * to client_post_wait(), NULL if there was none. Result: CTL_LOST.
 */
int client_lost(struct client *cl, const Theseus__VmResponse *end);

/* Console bytes to theseus-vmm (after VmConsole). */
int client_send_console(struct client *cl, const uint8_t *data, size_t len);

/*
 * Waits for a frame (events and console bytes go to the callbacks) or for a watch.
 * *ret_vm_response: the answer to @vm_id, if it came; NULL else. vm_id 0 = none expected.
 * Result: 0 after anything happened, CTL_LOST when the link ended, CTL_TIMED_OUT.
 */
int client_wait(struct client *cl, struct transport_watch *watches, size_t n_watches,
		uint64_t vm_id, uint64_t deadline_ns, Theseus__VmResponse **ret_vm_response);

/*
 * Uploads @data and stages it, in one session: over a new one if the link breaks.
 * Result: as client_call(), with the StageReply.
 */
int client_stage(struct client *cl, const uint8_t *data, size_t len, uint64_t limit_ns,
		 Theseus__Response **ret_response);

/* Fills @buf (16 bytes) and points @req's idempotency id at it. */
int client_new_id(struct client *cl, Theseus__Request *req, uint8_t buf[16]);

/*
 * Parts of the above, for upload.c. client_post() and client_await() (an answer whose id lies
 * in [first, last]) return 0 or -errno; client_fail() makes an exit status of that, client_reopen()
 * and client_finish() (consumes @response) return one.
 */
int client_post(struct client *cl, const Theseus__Request *req, uint64_t deadline_ns);
int client_await(struct client *cl, uint64_t first, uint64_t last, uint64_t deadline_ns,
		 Theseus__Response **ret_response);
bool client_link_broken(int r);
int client_fail(struct client *cl, int r, uint64_t limit_ns);
int client_reopen(struct client *cl);
int client_finish(struct client *cl, Theseus__Response *response, Theseus__Response__BodyCase body,
		  Theseus__Response **ret_response);

void response_freep(Theseus__Response **r);
void vm_response_freep(Theseus__VmResponse **r);
#define CLEANUP_RESPONSE __attribute__((cleanup(response_freep)))
#define CLEANUP_VM_RESPONSE __attribute__((cleanup(vm_response_freep)))

#endif
