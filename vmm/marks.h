/* SPDX-License-Identifier: MIT */
/* Where the time from exec to the running guest went. Loop thread only. */
#ifndef VMM_MARKS_H
#define VMM_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define MARKS_MAX 24u

struct mark {
	const char *name; /* static storage */
	uint64_t at_ns;   /* since exec */
};

/*
 * To be called first in main(). The moment of exec is taken to be now minus the CPU time
 * this process has used: exact unless it had to wait for its file to be read.
 */
void marks_init(void);

/* Notes that @name (borrowed for good) is done. Beyond MARKS_MAX nothing is noted. */
void marks_add(const char *name);

/* ns since exec. */
uint64_t marks_now(void);

/* Result: how many; *@ret_marks points to them. */
size_t marks_get(const struct mark **ret_marks);

#endif
