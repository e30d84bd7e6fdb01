/* SPDX-License-Identifier: MIT */
/*
 * The system log: the last records of every cell, in a ring of bounded size.
 *
 * Errors and warnings also go to COM1, whatever becomes of the ring; everything does with
 * `log=debug` on the command line. COM1 costs about 30 us a byte on a PVM host, so what is
 * not worth a human's attention is no warning, and of very many lines at once some are left out
 * there.
 * Context: log_write() from tasks and interrupt handlers, with any lock but the log's own
 * held; it masks upcalls shortly and never blocks. The rest: tasks.
 */
#ifndef THESEUS_LOG_H
#define THESEUS_LOG_H

#include <theseus/cell.h>

enum log_level {
	LOG_ERROR = 0,
	LOG_WARNING = 1,
	LOG_NOTICE = 2,
	LOG_INFO = 3,
	LOG_DEBUG = 4, /* kept only with `log=debug` */
	_LOG_LEVEL_MAX,
	_LOG_LEVEL_INVALID = -22,
};

#define LOG_TEXT_MAX 200u /* bytes of a record's text, NUL included; longer text is cut */

struct log_record {
	uint64_t seq;     /* 1, 2, 3, … since boot */
	uint64_t time_ns; /* since boot */
	uint64_t task;    /* id of the writing task; 0 = none (boot, interrupt) */
	uint32_t level;   /* enum log_level */
	char cell[CELL_NAME_MAX];
	char text[LOG_TEXT_MAX]; /* NUL-terminated, without control characters */
};

/* Adds a record in the name of @cell (CELL_SELF). Format as snprintf of libc knows it. */
void log_write(enum log_level level, struct cell_ref cell, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A notice that also goes to COM1: for the few words that whoever watches the boot waits for. */
void log_announce(struct cell_ref cell, const char *text);

/*
 * Copies the first record whose seq is @seq or higher. *@ret_lost: how many records from
 * @seq on were overwritten before they could be read. Continue with ret_record->seq + 1.
 * Result: 0, -ENOENT when there is none yet (nothing is written).
 */
int log_read(uint64_t seq, struct log_record *ret_record, uint64_t *ret_lost) MUST_USE;

/* The seq that the next record will get. */
uint64_t log_next_seq(void);

/* Implemented by whoever follows the log; see log_watch(). */
struct log_watch_ops {
	/* A record was added. Called by the writer in its context, with no lock held: only
	   wakes somebody, never logs. */
	void (*changed)(void);
};
IFACE_DEFINE(log_watch_ops);

#define LOG_WATCHERS_MAX 4u

/* Result: 0, -EEXIST (already there), -ENOSPC. A watcher whose cell left is dropped. */
int log_watch(struct log_watch_ops_h watcher) MUST_USE;

#endif
