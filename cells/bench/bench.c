/* SPDX-License-Identifier: MIT */
/* The command that runs benchmarks and reports them: `bench [NAME PARAM [MS]]`. */
#include <stdlib.h>
#include <string.h>

#include <theseus/command.h>
#include <theseus/heap.h>
#include <theseus/loader.h>

#include "internal.h"

CELL_INFO(.name = "bench", .version = "1.0.0", .summary = "measures what operations cost",
	  .grants = GATE_GRANT_MEMORY, .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "measures gate calls, touches pages by address, hands addresses to tasks");
CELL_CONSUMES(bench_ops);

#define TIME_MS 50u
#define TIME_MAX_MS 10000u

CELL_STATE(struct bench_state, state) = {.busy = 0};

struct bench_state *bench_state(void)
{
	return &state;
}

static int find(const char *word, const struct bench_ops **ret_ops)
{
	char name[CELL_NAME_MAX];
	struct bench_ops_h h;

	for (uint32_t i = 0; iface_at("bench_ops", i, name, &h.h) == 0; i++) {
		for (char *c = strchr(name, '_'); c; c = strchr(c, '_'))
			*c = '-';
		*ret_ops = bench_ops_get(h);
		if (*ret_ops && strcmp(name, word) == 0)
			return 0;
	}
	return -ENOENT;
}

static void list(struct command_io *io)
{
	char name[CELL_NAME_MAX];
	struct bench_ops_h h;

	for (uint32_t i = 0; iface_at("bench_ops", i, name, &h.h) == 0; i++) {
		const struct bench_ops *ops = bench_ops_get(h);

		for (char *c = strchr(name, '_'); c; c = strchr(c, '_'))
			*c = '-';
		command_printf(io, "%s", name);
		for (uint32_t p = 0; ops && p < ops->n_params; p++)
			command_printf(io, " %llu", (unsigned long long)ops->params[p]);
		command_printf(io, "\n");
	}
}

static void report(struct command_io *io, const char *name, const struct bench *b)
{
	uint64_t khz = b->tsc_khz;

	if (b->n == 0) {
		command_printf(io, BENCH_BYTES, name, (unsigned long long)b->param,
			       (unsigned long long)b->bytes);
		return;
	}
	qsort(b->samples, b->n, sizeof(*b->samples), bench_compare);
	command_printf(io, BENCH_TIMES, name, (unsigned long long)b->param, b->n,
		       (unsigned long long)b->ops,
		       (unsigned long long)bench_ps(bench_rank(b->samples, b->n, 50), b->ops, khz),
		       (unsigned long long)bench_ps(bench_rank(b->samples, b->n, 99), b->ops, khz),
		       (unsigned long long)bench_ps(b->samples[0], b->ops, khz));
}

static const char *failure(int r)
{
	switch (r) {
	case -ENOMEM:
	case -EAGAIN:
		return "no room";
	case -ENODEV:
		return "there is no second CPU";
	case -EINVAL:
		return "not with this number";
	default:
		return "it failed";
	}
}

static int measure(struct command_io *io, const char *name, uint64_t param, uint64_t ms)
{
	OWNED(heap_drop)
	uint64_t *samples = heap_alloc(CELL_SELF, BENCH_SAMPLES_MAX * sizeof(*samples));
	struct bench b = {.param = param, .ops = 1, .samples = samples};
	const struct bench_ops *ops;
	int r;

	if (find(name, &ops) < 0) {
		command_printf(io, "bench: %s: no such benchmark\n", name);
		return 2;
	}
	r = samples ? 0 : -ENOMEM;
	b.tsc_khz = clock_tsc_khz();
	b.time_tsc = ms * b.tsc_khz;
	if (r == 0)
		r = ops->run(&b);
	if (r < 0) {
		command_printf(io, "bench: %s %llu: %s (%d)\n", name, (unsigned long long)param,
			       failure(r), r);
		return 1;
	}
	report(io, name, &b);
	return 0;
}

/* Result: 0, -EINVAL. Decimal, at most 18 digits. */
static int number(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned n = 0;

	for (; text[n] >= '0' && text[n] <= '9' && n < 18; n++)
		value = value * 10 + (uint64_t)(text[n] - '0');
	if (n == 0 || text[n])
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int bench_run(struct command_io *io, int argc, const char *const *argv)
{
	uint64_t param, ms = TIME_MS;
	int r;

	if (argc == 1) {
		list(io);
		return 0;
	}
	if (argc < 3 || argc > 4 || number(argv[2], &param) < 0 ||
	    (argc == 4 && number(argv[3], &ms) < 0) || ms > TIME_MAX_MS) {
		command_printf(io, "usage: bench [NAME PARAM [MS]]\n");
		return 2;
	}
	if (__atomic_exchange_n(&state.busy, 1, __ATOMIC_ACQUIRE)) {
		command_printf(io, "bench: another benchmark is running\n");
		return 1;
	}
	r = measure(io, argv[1], param, ms);
	__atomic_store_n(&state.busy, 0, __ATOMIC_RELEASE);
	return r;
}
CELL_PROVIDE(command_ops, bench) = {
	.run = bench_run,
	.help = "[NAME PARAM [MS]]  measures an operation; alone: what can be measured",
};
