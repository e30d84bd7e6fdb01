/* SPDX-License-Identifier: MIT */
/* The ring of records; its owner's lock is held around all of it. */
#ifndef LOG_RING_H
#define LOG_RING_H

#include <theseus/log.h>

#define LOG_RECORDS 240u

/* All zero is an empty ring. */
struct log_ring {
	uint64_t last_seq; /* of the newest record; 0 = none was written */
	struct log_record records[LOG_RECORDS]; /* [seq % LOG_RECORDS] */
};

/* Copies @r in and gives it the next seq. */
void log_ring_add(struct log_ring *ring, struct log_record *r);

/* As log_read(). */
int log_ring_read(const struct log_ring *ring, uint64_t seq, struct log_record *ret_record,
		  uint64_t *ret_lost) MUST_USE;

/* Makes one line of @text, in place: no control characters, no line feed at its end. */
void log_tidy(char *text);

#endif
