/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait at channels and locks while the cells `channel` and `sync` are replaced under
 * them: nothing may get lost, come twice or overtake.
 */
#include "waits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

CELL_INFO(.name = "waits", .version = "1.0.0", .safety = CELL_SAFE,
	  .summary = "tasks that wait in every way there is, while what they wait in is replaced",
	  .quiescence = CELL_QUIESCE_ANY);
CELL_STATE(struct waits_state, state);

struct waits_state *waits(void)
{
	return &state;
}

void waits_wrong(const char *fmt, ...)
{
	va_list args;

	if (__atomic_fetch_add(&state.n_wrong, 1, __ATOMIC_RELAXED) > 0)
		return;
	va_start(args, fmt);
	vsnprintf(state.wrong, sizeof(state.wrong), fmt, args);
	va_end(args);
}

int waits_channel(unsigned i, uint32_t capacity)
{
	const struct channel_attr attr = {
		.kind = capacity ? CHANNEL_ASYNC : CHANNEL_RENDEZVOUS,
		.bytes = sizeof(struct message),
		.capacity = capacity,
		.owner = {.cell = CELL_SELF},
	};

	return channel_create(&attr, &state.send[i], &state.receive[i]);
}

void waits_close(void)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		channel_drop(&state.send[i]);
		channel_drop(&state.receive[i]);
	}
}

static int begin(struct command_io *io, int (*start)(void))
{
	int r;

	if (state.n_blocked || state.n_load) {
		command_printf(io, "it is at work already\n");
		return 1;
	}
	memset(&state, 0, sizeof(state));
	r = start();
	if (r < 0)
		command_printf(io, "they cannot start: error %d\n", r);
	return r < 0 ? 1 : 0;
}

static void finish(void)
{
	if (state.n_blocked)
		blocked_finish();
	if (state.n_load)
		load_finish();
	waits_close();
}

static int waits_run(struct command_io *io, int argc, const char *const *argv)
{
	const char *word = argc == 2 ? argv[1] : "";

	if (strcmp(word, "block") == 0)
		return begin(io, blocked_start);
	if (strcmp(word, "load") == 0)
		return begin(io, load_start);
	if (strcmp(word, "finish") == 0)
		finish();
	command_printf(io, "tasks=%u waiting=%u rounds=%llu wrong=%u %s\n", state.n_blocked,
		       blocked_count(),
		       (unsigned long long)__atomic_load_n(&state.rounds, __ATOMIC_RELAXED),
		       state.n_wrong, state.wrong);
	if (strcmp(word, "finish") == 0)
		state.n_blocked = state.n_load = 0;
	return state.n_wrong ? 1 : 0;
}
CELL_PROVIDE(command_ops, waits) = {.run = waits_run, .help = "[block|load|finish]"};
