/* SPDX-License-Identifier: MIT */
/* A greeter whose greeter_greet() has another signature: to be refused. */
#include <theseus/greeter.h>

#include <string.h>

#include <theseus/cell.h>
#include <theseus/command.h>

#include "../greeter.h"

#define TEXT "hello from a greeter that nobody can call"

CELL_INFO(.name = "greeter", .version = "3.0.0", .summary = "a greeter with another signature",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(greeter_greet);
CELL_EXPORT(greeter_calls);

CELL_STATE(struct greeter_state, greeter);

size_t greeter_greet(char *buf, uint32_t len)
{
	if (len < sizeof(TEXT))
		return 0;
	memcpy(buf, TEXT, sizeof(TEXT));
	greeter.calls++;
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
