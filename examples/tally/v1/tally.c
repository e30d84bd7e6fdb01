/* SPDX-License-Identifier: MIT */
#include <theseus/tally.h>

#include <theseus/cell.h>
#include <theseus/command.h>

CELL_INFO(.name = "tally", .version = "1.0.0", .summary = "keeps a count", .safety = CELL_SAFE);

CELL_EXPORT(tally_add);

/* All mutable data is here: a swap hands it to the next version. */
struct tally_state {
	uint64_t count;
};
CELL_STATE(struct tally_state, tally);

uint64_t tally_add(uint64_t n)
{
	return __atomic_add_fetch(&tally.count, n, __ATOMIC_RELAXED);
}

static int run(struct command_io *io, int argc, const char *const *argv)
{
	(void)argc;
	(void)argv;
	command_printf(io, "version 1 counts %llu\n", (unsigned long long)tally_add(1));
	return 0;
}
CELL_PROVIDE(command_ops, tally) = {.run = run, .help = "  counts one more"};
