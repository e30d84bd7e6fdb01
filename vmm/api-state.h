/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the API share: api.c (connections, time), session.c (clients to guest and
 * back), vmrequest.c (requests to theseus-vmm), hello.c (theseus-vmm's own session).
 */
#ifndef VMM_API_STATE_H
#define VMM_API_STATE_H

#include "api.h"
#include "client.h"
#include "control.pb-c.h"
#include "link.h"

#define PENDING_MAX 512u       /* requests that the guest has not answered */
#define PENDING_CLIENT_MAX 64u /* of one client */
#define WAITERS_MAX 128u
#define CONSOLE_IN_MAX (64u << 10)
#define OWN_SESSION 1u           /* clients' sessions follow */
#define OWN_REQUEST (1ull << 63) /* in a request id: it is theseus-vmm's own */
#define GUEST_MARKS_MAX 64u

enum api_state {
	API_BOOTING,
	API_READY,
	API_STOPPING, /* the guest was asked to power off */
	API_ENDED,
};

struct pending {
	struct client *client; /* NULL: the slot is free */
	uint64_t client_id;
	uint32_t sequence; /* of the slot's use: a late answer to its last one is told apart */
};

enum waiter_kind {
	WAIT_READY, /* or the end */
	WAIT_END,
	WAIT_STOP,
};

struct waiter {
	struct client *client; /* NULL: free; own_stop: none, and the guest is ended at deadline */
	bool own_stop;
	enum waiter_kind kind;
	uint64_t request_id;
	uint64_t deadline; /* ns; UINT64_MAX = none */
};

struct guest_mark {
	char name[48];
	uint64_t at_ns;
};

struct api {
	uv_loop_t *loop;
	struct api_config config;
	struct api_owner owner;
	enum api_state state;
	uint64_t ready_ns;
	struct machine_end end; /* once API_ENDED */

	int listen_fd;
	uid_t uid;
	uv_poll_t listener;
	uv_timer_t timer;
	bool listening, closed;
	uint64_t close_at; /* once API_ENDED */

	struct client *clients;
	unsigned int n_clients;

	struct link link;
	uint32_t last_session;
	uint64_t own_sequence;
	uint64_t hello_id, shutdown_id; /* awaiting an answer; 0 = no */
	struct pending pending[PENDING_MAX];
	uint32_t ended_sessions[API_CLIENTS_MAX]; /* the guest has to be told of */
	unsigned int n_ended_sessions;

	struct bytes console_in;
	struct waiter waiters[WAITERS_MAX];

	char guest_build_id[72];
	struct guest_mark guest_marks[GUEST_MARKS_MAX];
	size_t n_guest_marks;
};

/* ---- api.c ---- */
void api_log(struct api *api, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void api_schedule(struct api *api); /* sets the timer to what is due next */
uint64_t api_now(struct api *api);
void api_resume_clients(struct api *api);
void api_pump_console(struct api *api);

/* ---- session.c ---- */
/* Forwards a request. Result: false = no room now. */
bool session_request(struct api *api, struct client *c, const struct frame *f);
/* Any frame from the guest. */
void session_from_guest(struct api *api, const struct frame *f);
/* @c has gone: the guest is told, answers still to come are dropped. */
void session_client_gone(struct api *api, struct client *c);
/* Sends what could not be sent before. */
void session_pump(struct api *api);
/* The guest is gone: every request still open is answered with STATUS_LOST. */
void session_lost(struct api *api);
/* Console bytes to everybody who is attached. */
void session_console(struct api *api, const uint8_t *data, size_t len);

/* ---- vmrequest.c ---- */
bool vmrequest(struct api *api, struct client *c, const struct frame *f);
/* Something that clients may wait for has happened, or time has passed. */
void vmrequest_check_waiters(struct api *api);
void vmrequest_client_gone(struct api *api, struct client *c);
/* A waiter without a client: the guest is ended when it does not power off in time. */
void vmrequest_own_stop(struct api *api);
/* The guest will not power off: stops that wait for it are answered. */
void vmrequest_stop_refused(struct api *api, const char *why);

/* ---- hello.c ---- */
void hello_guest_opened(struct api *api, bool open);
/* Asks the guest to power off. Result: 0, or -EAGAIN when it cannot be asked. */
int hello_shut_down(struct api *api) __attribute__((warn_unused_result));
/* An answer to one of theseus-vmm's own requests. */
void hello_response(struct api *api, const struct frame *f);

#endif
