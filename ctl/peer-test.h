/* SPDX-License-Identifier: MIT */
/*
 * For tests: what stands behind an operator socket, VM and guest in one, in a thread. It
 * answers by the protocol, and misbehaves where a test says so. Never asserts: the test
 * looks at what was counted.
 */
#ifndef THESEUS_CTL_PEER_TEST_H
#define THESEUS_CTL_PEER_TEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "control.pb-c.h"

struct peer {
	/* set before the first connection */
	Theseus__Status stage_status, swap_status, exec_status, vm_status;
	const char *error_code, *error_message;
	const char *reasons[4];
	const char *swap_result; /* default "committed" */
	const char *exec_output;
	int exec_result;
	uint32_t protocol;        /* in Hello; default 1 */
	uint64_t credit;          /* default 40000 */
	unsigned int break_at[4]; /* close the link instead of answering the Nth frame, from 1 */
	unsigned int vanish_at;   /* the same, and take no further connection */
	bool mute;                /* reads and says nothing */
	bool exit_on_stop;        /* the process, as theseus-vmm does */
	bool noise;               /* garbage and stray answers before every answer */
	const char *build_id;     /* of the first cell: 20 bytes */
	Theseus__Request__BodyCase mistaken; /* this one is answered as if it were Hello */
	bool stuck_tasks;         /* the list of tasks comes to no end */
	bool stuck_cells;         /* nor does that of cells */
	bool moving_cells;        /* a swap comes between all answers */
	bool hostile_text;        /* names and texts that try to drive a terminal */
	unsigned int log_records, log_lost, log_live; /* stored, lost before, as events after */
	bool log_gap;                                 /* one event is left out */

	/* counted */
	atomic_uint frames, connections, stages, drops, swaps, execs;
	atomic_bool overrun; /* a chunk beyond the credit, or out of order */
	uint8_t *upload;     /* last complete one */
	size_t upload_size;
	uint64_t expect_generation, swap_limit_ns;
	bool dry_run;

	/* its own */
	int listen_fd, stop_fd;
	pthread_t thread;
	uint8_t last_id[16];
};

/* Listens on @path. Result: 0 or -errno. */
int peer_start(struct peer *p, const char *path);
void peer_stop(struct peer *p);

#endif
