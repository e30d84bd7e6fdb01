/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_CTL_LOG_H
#define THESEUS_CTL_LOG_H

#include "client.h"

/*
 * Prints the guest's log in order; a record that comes twice is printed once. As JSON each
 * answer is an object of its own, unless all are kept for one (log_finish()).
 */
struct log_view {
	struct client *cl;
	uint64_t next_seq;
	uint64_t since_ns; /* of the guest's time: older ones are left out */
	bool gap;          /* an event showed that records in between were not seen */
	bool keep;
	Theseus__Response **kept; /* where @keep */
	size_t n_kept;
};

/* Asks for all records from v->next_seq on and prints or keeps them; with @follow also for events.
 */
int log_fetch(struct log_view *v, bool follow);

/* Prints what was kept, if all went well until then (@status 0), and frees it. Result: exit status.
 */
int log_finish(struct log_view *v, int status);

/* For the client's on_event, with the view as argument. Before a wait, log_fill() a gap. */
void log_on_event(struct client *cl, const Theseus__Event *event, void *arg);
int log_fill(struct log_view *v);

#endif
