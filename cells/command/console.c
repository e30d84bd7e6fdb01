/* SPDX-License-Identifier: MIT */
/*
 * A line console on the port `console`: echo, backspace, ^C, ^U, and what `exec` can run.
 * One line is worked on at a time; input waits in the port meanwhile.
 */
#include <theseus/command.h>

#include <stdio.h>
#include <string.h>

#include <theseus/heap.h>
#include <theseus/log.h>
#include <theseus/platform.h>
#include <theseus/service.h>
#include <theseus/virtio_console.h>

#define PROMPT "theseus> "
#define OUTPUT_MAX (COMMAND_OUTPUT_MAX + 4 * COMMAND_LINE_MAX)
#define INPUT_A_STEP 64u

struct command_state {
	bool attached;
	unsigned link;
	uint32_t opens; /* opening that the line belongs to */
	size_t line_len;
	char line[COMMAND_LINE_MAX];
	char *output; /* owned; what the host has not taken yet */
	size_t output_len, output_sent;
};

CELL_STATE(struct command_state, console);

static void changed(void);
CELL_PROVIDE(console_client_ops, command) = {.event = changed};

/* @io collects echo and output of one step. */
static void run_line(struct command_io *io)
{
	int r;

	console.line[console.line_len] = '\0';
	console.line_len = 0;
	r = command_run_line(io, console.line);
	if (r == -ENOENT)
		command_printf(io, "no such command; try help\n");
	else if (r != 0)
		command_printf(io, "status %d\n", r);
	command_printf(io, PROMPT);
}

static void take_char(struct command_io *io, char c)
{
	if (c == '\r' || c == '\n') {
		command_write(io, "\n", 1);
		run_line(io);
	} else if ((c == '\b' || c == 0x7f) && console.line_len > 0) {
		console.line_len--;
		command_write(io, "\b \b", 3);
	} else if (c == 3 || c == 21) { /* ^C, ^U */
		console.line_len = 0;
		command_printf(io, "\n" PROMPT);
	} else if (c >= ' ' && c != 0x7f && console.line_len < COMMAND_LINE_MAX - 1) {
		console.line[console.line_len++] = c;
		command_write(io, &c, 1);
	}
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

static bool work(void)
{
	char input[INPUT_A_STEP];
	uint32_t opens = console.opens;
	int n = console_receive(console.link, input, sizeof(input), &opens);
	OWNED(heap_drop) char *text = NULL;
	struct command_io io;

	if (n <= 0 && opens == console.opens)
		return false;
	text = heap_alloc(CELL_SELF, OUTPUT_MAX);
	console.output = heap_alloc(CELL_SELF, 2ul * OUTPUT_MAX);
	if (!text || !console.output) {
		heap_free(console.output);
		console.output = NULL;
		return true; /* the input is lost, the console is not */
	}
	command_io_init(&io, text, OUTPUT_MAX);
	if (opens != console.opens) {
		console.opens = opens;
		console.line_len = 0;
		command_printf(&io, PROMPT);
	}
	for (int i = 0; i < n; i++)
		take_char(&io, input[i]);
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
