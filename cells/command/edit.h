/* SPDX-License-Identifier: MIT */
/*
 * Line editing on a terminal: bytes in, echo out. Keys: left, right, home, end, backspace,
 * delete, up and down through the lines before; ^A ^E home and end, ^K ^U erase to the end and
 * to the start, ^W the word before, ^C gives the line up. ^D comes back and does nothing: whoever
 * sent it knows that all before it is done (ctl/console.c). Text is printable ASCII; whatever
 * else comes is dropped. A line that is wider than the terminal is edited right but may look wrong.
 *
 * All zero is a valid editor. It holds no address. Pure.
 */
#ifndef COMMAND_EDIT_H
#define COMMAND_EDIT_H

#include <theseus/command.h>

#define EDIT_HISTORY 16u /* lines; beyond that the oldest goes */

struct editor {
	uint32_t len, at; /* at <= len < COMMAND_LINE_MAX */
	char line[COMMAND_LINE_MAX];
	/* an escape sequence that has begun */
	uint8_t escape; /* enum edit_escape */
	uint8_t escape_len;
	uint8_t number; /* its first parameter */
	bool after_cr;  /* a newline behind a carriage return is the same key */
	/* lines before, as a ring: the newest is number n_lines - 1 */
	uint32_t n_lines; /* ever */
	uint32_t back;    /* how many lines back the shown one is; 0: the one being typed */
	char lines[EDIT_HISTORY][COMMAND_LINE_MAX];
	char typed[COMMAND_LINE_MAX]; /* while older ones are shown */
};

enum edit_result {
	EDIT_MORE = 0,
	EDIT_ENTER,    /* `line` is complete and NUL-terminated: take it, then edit_begin() */
	EDIT_GIVEN_UP, /* ^C: edit_begin() */
	EDIT_COMPLETE, /* tab: edit_insert() what follows */
};

/* An empty line, after the prompt was written. The history stays. */
void edit_begin(struct editor *e);
enum edit_result edit_byte(struct editor *e, struct command_io *io, char byte);
/* Puts text in as if it had been typed; what is not printable or does not fit is left out. */
void edit_insert(struct editor *e, struct command_io *io, const char *text, size_t n);

#endif
