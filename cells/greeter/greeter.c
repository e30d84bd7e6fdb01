/* SPDX-License-Identifier: MIT */
/* One source for both versions: -DGREETER_VERSION_2 makes the second. */
#include <theseus/greeter.h>

#include <string.h>

#include <theseus/cell.h>
#include <theseus/command.h>

#include "greeter.h"

#ifdef GREETER_VERSION_2
#define VERSION "2.0.0"
#define TEXT "greetings from greeter 2.0.0, swapped in while you called"
#else
#define VERSION "1.0.0"
#define TEXT "hello from greeter 1.0.0"
#endif
_Static_assert(sizeof(TEXT) <= GREETER_TEXT_MAX, "fits who asks for it");

CELL_INFO(.name = "greeter", .version = VERSION, .summary = "says hello, and from which version",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(greeter_greet);
CELL_EXPORT(greeter_calls);

CELL_STATE(struct greeter_state, greeter);

int greeter_greet(char *buf, size_t len)
{
	if (len < sizeof(TEXT))
		return -ENOSPC;
	memcpy(buf, TEXT, sizeof(TEXT));
	__atomic_fetch_add(&greeter.calls, 1, __ATOMIC_RELAXED);
	return sizeof(TEXT) - 1;
}

uint64_t greeter_calls(void)
{
	return __atomic_load_n(&greeter.calls, __ATOMIC_RELAXED);
}

static int greet_run(struct command_io *io, int argc, const char *const *argv)
{
	char text[GREETER_TEXT_MAX];

	(void)argc;
	(void)argv;
	if (greeter_greet(text, sizeof(text)) < 0)
		return 1;
	command_printf(io, "%s\n", text);
	return 0;
}
CELL_PROVIDE(command_ops, greet) = {.run = greet_run, .help = "  hello from the greeter"};
