/* SPDX-License-Identifier: MIT */
/*
 * Tasks that compute in one call for as long as they are told to, without coming to any point
 * at which a swap could have them go on in new code. Afterwards one returns what it computed
 * from constants of its version, and one faults there, so that its frames are unwound.
 */
#include <string.h>

#include <theseus/command.h>
#include <theseus/task.h>

#ifdef LINGER_VERSION_2
#define VERSION 2
#define VERSION_TEXT "2.0.0"
#else
#define VERSION 1
#define VERSION_TEXT "1.0.0"
#endif

CELL_INFO(.name = "linger", .version = VERSION_TEXT, .safety = CELL_SAFE,
	  .summary = "tasks that compute on in replaced code, until told to stop",
	  .quiescence = CELL_QUIESCE_ANY, .restart = CELL_RESTART_ALWAYS);

#define STOP_NS (60 * CLOCK_S)
#define LITTER_BYTES 4096u

enum role {
	RETURNS = 0,
	FAULTS = 1,
	ROLES,
};

struct linger_state {
	bool started;
	uint32_t stop;          /* atomic */
	uint64_t turns[ROLES];  /* atomic */
	uint64_t cleaned;       /* frames of the one that faults */
	struct task_ref tasks[ROLES];
};
CELL_STATE(struct linger_state, state);

static const uint64_t addends[4] = {VERSION, 2 * VERSION, 3 * VERSION, 4 * VERSION};

/* Result: the version whose constants were added up; 0: the sum is wrong. */
static __attribute__((noinline)) int64_t compute(enum role role)
{
	uint64_t sum = 0, turns = 0;

	while (!__atomic_load_n(&state.stop, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 4; i++)
			sum += __atomic_load_n(&addends[i], __ATOMIC_RELAXED); /* each time from there */
		__atomic_store_n(&state.turns[role], ++turns, __ATOMIC_RELAXED);
	}
	return sum == turns * 10 * VERSION ? VERSION : 0;
}

static void note(uint64_t **counter)
{
	__atomic_fetch_add(*counter, 1, __ATOMIC_RELAXED);
}

static int64_t linger(uint64_t role)
{
	OWNED(note) uint64_t *counter = &state.cleaned;
	int64_t version = compute((enum role)role);

	if (role == FAULTS)
		TRAP("linger: faults in the version that it lingered in");
	(void)counter;
	return version;
}
CELL_PROVIDE(task_ops, linger) = {.run = linger};

static int start(struct command_io *io)
{
	const struct task_attr attr = {.name = "linger"};
	int r = 0;

	if (state.started)
		return 1;
	memset(&state, 0, sizeof(state));
	for (unsigned i = 0; i < ROLES && r == 0; i++)
		r = task_spawn(&attr, IFACE(task_ops, linger), i, &state.tasks[i]);
	if (r < 0)
		command_printf(io, "they cannot start: error %d\n", r);
	state.started = r == 0;
	return r < 0 ? 1 : 0;
}

static int stop(struct command_io *io)
{
	struct task_exit exits[ROLES] = {{.end = 0}};

	if (!state.started)
		return 1;
	__atomic_store_n(&state.stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ROLES; i++) {
		int r = task_join(state.tasks[i], clock_after(STOP_NS), &exits[i]);

		if (r < 0)
			command_printf(io, "task %u: error %d\n", i, r);
	}
	state.started = false;
	command_printf(io, "returned=%d version=%lld faulted=%d cleaned=%llu\n",
		       exits[RETURNS].end == TASK_COMPLETED, (long long)exits[RETURNS].value,
		       exits[FAULTS].end == TASK_FAULTED, (unsigned long long)state.cleaned);
	return 0;
}

/* What calls in this cell leave behind, at every place where later commands have their frames. */
static __attribute__((noinline)) void litter(void)
{
	volatile uint64_t below[LITTER_BYTES / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		below[i] = (uintptr_t)compute;
}

static int linger_run(struct command_io *io, int argc, const char *const *argv)
{
	if (argc == 2 && strcmp(argv[1], "start") == 0)
		return start(io);
	if (argc == 2 && strcmp(argv[1], "stop") == 0)
		return stop(io);
	if (argc == 2 && strcmp(argv[1], "litter") == 0)
		litter();
	command_printf(io, "version=%d turns=%llu,%llu\n", VERSION,
		       (unsigned long long)__atomic_load_n(&state.turns[RETURNS], __ATOMIC_RELAXED),
		       (unsigned long long)__atomic_load_n(&state.turns[FAULTS], __ATOMIC_RELAXED));
	return 0;
}
CELL_PROVIDE(command_ops, linger) = {.run = linger_run, .help = "[start|stop|litter]"};
