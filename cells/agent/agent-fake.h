/* SPDX-License-Identifier: MIT */
/*
 * For the agent's unit test: the other end of its port, and simple stand-ins for the cells
 * that it calls. The workers run when the agent has nothing to do.
 */
#ifndef AGENT_FAKE_H
#define AGENT_FAKE_H

#include <theseus/swap.h>

#include "agent.h"

struct fake {
	uint64_t now; /* ns */
	int64_t allocated; /* bytes of heap and regions in use */
	unsigned commands_run;
	unsigned failed_services;
	unsigned tasks;
	int powered;         /* argument of gate_power(); 0 = not called */
	bool hold_workers;   /* they are stuck */
	bool out_of_memory;  /* for regions */
	bool closed_window;  /* the host takes no bytes */
	bool undrained;      /* the host has not taken what was sent */

	int stage_error;         /* what swap_stage() says */
	enum swap_state outcome; /* of every swap */
	int swap_error;
	bool hold_swap;          /* it runs on */
	uint64_t generation;
	unsigned stages;         /* that exist */
	bool quarantined;        /* a swap left a cell in use */
	uint32_t more_cells;     /* than two; they use the greeter, too */
	unsigned reclaims;
};
extern struct fake fake;

/* Makes agent, link and stand-ins new, and runs the agent's init. */
void fake_start(void);
/* Checks that nothing leaked. */
void fake_stop(void);

/* The host's side opens again: another peer. */
void fake_reopen(void);
void fake_send_bytes(const void *bytes, size_t len);
void fake_send(enum frame_type type, uint32_t session, uint64_t request_id, const void *payload,
	       size_t len);
void fake_post(uint32_t session, const Theseus__Request *req);
/* Lets agent and workers run until they wait. */
void fake_run(void);
/* The next answer to @session, NULL if none came. The caller frees it. */
Theseus__Response *fake_take(uint32_t session);
Theseus__Event *fake_take_event(uint32_t session);
/* Takes all that was sent, whoever it is for: every frame must be whole and well-formed. */
void fake_drain(void);
/* Posts, runs and takes. */
Theseus__Response *fake_call(uint32_t session, const Theseus__Request *req);

void fake_log(const char *text);

#endif
