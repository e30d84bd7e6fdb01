/* SPDX-License-Identifier: MIT */
#include <theseus/command.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void command_write(struct command_io *io, const char *text, size_t len)
{
	size_t room = io->size - io->used;

	if (len > room) {
		len = room;
		io->truncated = true;
	}
	memcpy(io->buf + io->used, text, len);
	io->used += len;
}

void command_printf(struct command_io *io, const char *fmt, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text)) {
		n = sizeof(text) - 1;
		io->truncated = true;
	}
	command_write(io, text, (size_t)n);
}
