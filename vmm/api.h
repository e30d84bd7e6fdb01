/* SPDX-License-Identifier: MIT */
/*
 * The operator's socket. Several clients at once talk to theseus-vmm itself (VM_REQUEST) and,
 * through it, to the guest's agent (REQUEST), each in a session of its own. Nothing is kept
 * without a bound, and nothing that one client or the guest does stops the others.
 *
 * Loop thread only. Functions of the owner (struct api_owner) are called from inside the
 * functions below.
 */
#ifndef VMM_API_H
#define VMM_API_H

#include <sys/types.h>
#include <uv.h>

#include "machine.h"

#define API_CLIENTS_MAX 32u
#define API_HALF_FRAME_NS (10ull * 1000000000u)
#define API_STOP_NS (10ull * 1000000000u) /* for the guest to power off, when not told otherwise   \
					   */

struct api;

struct api_owner {
	void *ctx;
	/* As struct machine_ops. */
	size_t (*send)(void *ctx, enum guest_port port, const void *data, size_t len);
	/* Ends the guest now. */
	void (*stop)(void *ctx);
	/* The agent has answered Hello for the first time, @ready_ns after exec. */
	void (*ready)(void *ctx, uint64_t ready_ns);
	void (*log)(void *ctx, const char *text);
	/* Resident bytes of this process beyond guest RAM. */
	uint64_t (*resident)(void *ctx);
	uint64_t (*now)(void *ctx); /* ns since exec */
};

/* Strings are borrowed for good. */
struct api_config {
	const char *name, *accel, *accel_reason, *log_path;
	unsigned int cpus;
	uint64_t memory;        /* bytes */
	uint64_t half_frame_ns; /* a client's frame must be whole within this time */
};

/* @owner and @config are copied. Result: 0 and *@ret_api, or -errno. */
int api_new(uv_loop_t *loop, const struct api_config *config, const struct api_owner *owner,
	    struct api **ret_api) __attribute__((warn_unused_result));

/* After api_close() and once the loop has closed the handles. NULL is fine. */
void api_free(struct api *api);

/* Serves @fd, a listening non-blocking socket (taken over): peers of @uid and root only. */
int api_listen(struct api *api, int fd, uid_t uid) __attribute__((warn_unused_result));

/* Serves @fd, a connected non-blocking socket (taken over, also on failure). */
int api_add_client(struct api *api, int fd) __attribute__((warn_unused_result));

/* What the machine reports; see struct machine_events. */
void api_received(struct api *api, enum guest_port port, const uint8_t *data, size_t len);
void api_writable(struct api *api, enum guest_port port);
void api_opened(struct api *api, enum guest_port port, bool open);

/*
 * The guest is no more: whoever waits is answered, then all connections are closed, within
 * @limit_ms even for clients that do not read.
 */
void api_ended(struct api *api, const struct machine_end *end, unsigned int limit_ms);

/* Asks the guest to power off; after API_STOP_NS, or if it cannot be asked, it is ended. */
void api_shut_down(struct api *api);

/* Lets time pass: drops half frames, ends waits. Called by a timer; for tests too. */
void api_expire(struct api *api);

/* Closes everything at once. */
void api_close(struct api *api);

#endif
