/* SPDX-License-Identifier: MIT */
/* A greeter that keeps another state than the running one: to be refused. */
#include <theseus/greeter.h>

#include <string.h>

#include <theseus/cell.h>
#include <theseus/command.h>

#define TEXT "hello from a greeter with another memory"

CELL_INFO(.name = "greeter", .version = "3.0.0", .summary = "a greeter with another state",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(greeter_greet);
CELL_EXPORT(greeter_calls);

struct greeter_state {
	uint32_t calls;
	uint32_t bytes;
};

CELL_STATE(struct greeter_state, greeter);

int greeter_greet(char *buf, size_t len)
{
	if (len < sizeof(TEXT))
		return -ENOSPC;
	memcpy(buf, TEXT, sizeof(TEXT));
	greeter.calls++;
	greeter.bytes += sizeof(TEXT);
	return sizeof(TEXT) - 1;
}

uint64_t greeter_calls(void)
{
	return greeter.calls;
}

static int greet_run(struct command_io *io, int argc, const char *const *argv)
{
	(void)argc;
	(void)argv;
	command_printf(io, "%s\n", TEXT);
	return 0;
}
CELL_PROVIDE(command_ops, greet) = {.run = greet_run, .help = "  hello from the greeter"};
