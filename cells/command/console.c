/* SPDX-License-Identifier: MIT */
/*
 * A shell on the port `console`: edited lines (edit.h), and what `exec` can run. One line is
 * worked on at a time; input waits meanwhile.
 */
#include <theseus/command.h>

#include <stdio.h>
#include <string.h>

#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/log.h>
#include <theseus/platform.h>
#include <theseus/service.h>
#include <theseus/virtio_console.h>

#include "edit.h"

#define PROMPT "theseus> "
#define INPUT_A_STEP 64u
/* echo of a step's input, each byte of which may show the line anew; what is said behind an output
 */
#define ECHO_MAX (2 * INPUT_A_STEP * COMMAND_LINE_MAX)
#define SAID_MAX 128u
#define OUTPUT_MAX (ECHO_MAX + COMMAND_OUTPUT_MAX + SAID_MAX)

struct command_state {
	bool attached;
	unsigned link;
	uint32_t opens; /* opening that the line belongs to */
	struct editor editor;
	char input[INPUT_A_STEP]; /* what is not worked on yet */
	size_t input_len, input_taken;
	char *output; /* owned; what the host has not taken yet */
	size_t output_len, output_sent;
};

CELL_STATE(struct command_state, console);

static void changed(void);
CELL_PROVIDE(console_client_ops, command) = {.event = changed};

/* @io collects echo and output of one step. */
static void run_line(struct command_io *io)
{
	struct command_io out;
	int r;

	/* as much as `exec` gives it, so that the prompt has room */
	command_io_init(&out, io->buf + io->used, COMMAND_OUTPUT_MAX);
	r = command_run_line(&out, console.editor.line);
	io->used += out.used;
	if (out.truncated)
		command_printf(io, "\nthe output is cut\n");
	if (r == -ENOENT)
		command_printf(io, "no such command; try help\n");
	else if (r != 0)
		command_printf(io, "status %d\n", r);
}

static void prompt(struct command_io *io)
{
	command_printf(io, PROMPT);
	edit_begin(&console.editor);
}

/* ---- completion of the command's name ---- */

struct completion {
	uint32_t n;               /* commands that begin so */
	char text[CELL_NAME_MAX]; /* what they have in common */
};

static void complete_with(struct completion *c, const char *prefix, size_t len, char *name)
{
	size_t same = 0;

	for (char *dash = strchr(name, '_'); dash; dash = strchr(dash, '_'))
		*dash = '-';
	if (strncmp(name, prefix, len) != 0)
		return;
	if (c->n++ == 0)
		(void)strlcpy(c->text, name, sizeof(c->text));
	while (c->text[same] && c->text[same] == name[same])
		same++;
	c->text[same] = '\0';
}

static void complete(struct command_io *io)
{
	struct editor *e = &console.editor;
	struct completion c = {.n = 0};
	char name[CELL_NAME_MAX];
	struct iface h;

	if (e->at != e->len || memchr(e->line, ' ', e->len))
		return;
	for (uint32_t i = 0; iface_at("command_ops", i, name, &h) == 0; i++)
		complete_with(&c, e->line, e->len, name);
	if (c.n > 0)
		edit_insert(e, io, c.text + e->len, strlen(c.text) - e->len);
	if (c.n == 1)
		edit_insert(e, io, " ", 1);
}

/* Result: true when a line was run: its output is sent before the next one. */
static bool take_byte(struct command_io *io, char byte)
{
	switch (edit_byte(&console.editor, io, byte)) {
	case EDIT_ENTER:
		run_line(io);
		prompt(io);
		return true;
	case EDIT_GIVEN_UP:
		prompt(io);
		break;
	case EDIT_COMPLETE:
		complete(io);
		break;
	case EDIT_MORE:
		break;
	}
	return false;
}

/* A terminal wants a carriage return before each line feed. */
static void add_output(const struct command_io *io)
{
	size_t n = 0;

	for (size_t i = 0; i < io->used && n + 2 <= 2 * OUTPUT_MAX; i++) {
		if (io->buf[i] == '\n')
			console.output[n++] = '\r';
		console.output[n++] = io->buf[i];
	}
	console.output_len = n;
	console.output_sent = 0;
}

/* Result: true when nothing is left to send. A host that closed loses the rest. */
static bool flush(void)
{
	while (console.output) {
		int n = console_send(console.link, console.output + console.output_sent,
				     console.output_len - console.output_sent);

		if (n > 0)
			console.output_sent += (size_t)n;
		if (n < 0 || console.output_sent == console.output_len) {
			heap_free(console.output);
			console.output = NULL;
		} else if (n == 0) {
			return false;
		}
	}
	return true;
}

/* Fills `input` when it is used up. Result: true when there is something to do. */
static bool get_input(uint32_t *opens)
{
	int n;

	*opens = console.opens;
	if (console.input_taken < console.input_len)
		return true;
	console.input_taken = 0;
	n = console_receive(console.link, console.input, sizeof(console.input), opens);
	console.input_len = n > 0 ? (size_t)n : 0;
	return n > 0 || *opens != console.opens;
}

static bool work(void)
{
	OWNED(heap_drop) char *text = NULL;
	struct command_io io;
	uint32_t opens;

	if (!get_input(&opens))
		return false;
	text = heap_alloc(CELL_SELF, OUTPUT_MAX);
	console.output = heap_alloc(CELL_SELF, 2ul * OUTPUT_MAX);
	if (!text || !console.output) {
		heap_free(console.output);
		console.output = NULL;
		console.input_len = 0;
		return true; /* the input is lost, the console is not */
	}
	command_io_init(&io, text, OUTPUT_MAX);
	if (opens != console.opens) {
		console.opens = opens;
		prompt(&io);
	}
	while (console.input_taken < console.input_len) {
		if (take_byte(&io, console.input[console.input_taken++]))
			break;
	}
	add_output(&io);
	return true;
}

static struct service_next step(void)
{
	if (!console.attached)
		return service_done();
	if (!flush() || !work())
		return service_wait(CLOCK_NEVER);
	return service_again();
}

/* No console device is no error: virtio_console has said so. */
static int start(void)
{
	int r = console_attach(PLATFORM_CONSOLE_PORT, IFACE(console_client_ops, command), 1,
			       &console.link);

	console.attached = r == 0;
	if (r < 0 && r != -ENODEV)
		log_write(LOG_WARNING, CELL_SELF, "no console: %d", r);
	return 0;
}

CELL_PROVIDE(service_ops, console) = {.init = start, .step = step};

static void changed(void)
{
	(void)service_wake(IFACE(service_ops, console));
}
