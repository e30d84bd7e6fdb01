/* SPDX-License-Identifier: MIT */
/*
 * bench: what operations cost in a guest, beside Linux on the same machine in the same run.
 *
 * A row compares two measures. A measure is one benchmark with its parameter, in the guest (the
 * cell `bench`) or on Linux (theseus-bench-linux); it is taken once a round, whatever number
 * of rows has it. Rounds of both sides alternate, so that a ratio holds while the machine's
 * speed drifts.
 */
#ifndef THESEUS_CTL_BENCH_H
#define THESEUS_CTL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

#define BENCH_ROUNDS_MAX 25u
#define BENCH_WHY_MAX 160u

enum bench_side { BENCH_GUEST, BENCH_LINUX, BENCH_MIMALLOC, BENCH_NOTHING };

/* A benchmark as one side knows it. */
struct bench_op {
	enum bench_side side;
	const char *name; /* NULL for BENCH_NOTHING */
	uint64_t param;
};

/* A row of the table: guest beside something. */
struct bench_row {
	const char *family; /* what `theseusctl bench NAME` names */
	struct bench_op guest, against;
	/* "" = as it boots; else "sched=NAME", "heap=EDITION", "cpus=N" or "cells=N" (more): a boot
	 * of its own */
	const char *config;
	const char *against_config; /* NULL: the same */
	double target;              /* the ratio is to be at most this; 0 = none was set */
	const char *what;           /* what is really compared */
};

/* The table; ends with a NULL family. */
extern const struct bench_row bench_rows[];

static inline const char *bench_against_config(const struct bench_row *row)
{
	return row->against_config ? row->against_config : row->config;
}

/* One line of a side's report. */
struct bench_figures {
	bool is_bytes;
	uint64_t bytes;
	uint64_t median_ps, p99_ps; /* of one operation */
	uint64_t n;                 /* samples */
};

/*
 * Reads "bench=… param=… median_ps=…" or "… bytes=…" as the measure of @op.
 * Result: 0, -EPROTO (it is something else).
 */
int bench_parse(const char *text, const struct bench_op *op, struct bench_figures *ret_figures);

struct bench_measure {
	struct bench_op op;
	const char *config;
	struct bench_figures rounds[BENCH_ROUNDS_MAX];
	size_t n;                /* rounds measured */
	char why[BENCH_WHY_MAX]; /* it is not measured at all; "" = it is */
};

/* Of all rounds: the median of their medians, and of their 99th percentiles. @m->n > 0. */
struct bench_figures bench_summary(const struct bench_measure *m);

/* @a over @b, both times or both sizes; 0 when there is no such number. */
double bench_ratio(const struct bench_figures *a, const struct bench_figures *b);

/* What `bench` has done. */
struct bench_view {
	const char *accel; /* of the guest */
	uint64_t cpus, rounds;
	const struct bench_measure *measures;
	size_t n_measures;
	const struct bench_row *const *rows; /* those that were asked for */
	size_t n_rows;
};

/* The measure of @op, NULL if there is none. */
const struct bench_measure *bench_find(const struct bench_view *view, const struct bench_op *op,
				       const char *config);

void text_bench(const struct ctl *c, const struct bench_view *view);
void json_bench(const struct ctl *c, const struct bench_view *view);

/* ---- cells: results are exit statuses ---- */

struct client;

/* Swaps a bundle in. */
int bench_swap_in(struct client *cl, const uint8_t *data, size_t len);

/* Loads @n small cells; @bundles is the folder of bench-filler.cells. */
int bench_fill(struct client *cl, const char *bundles, uint64_t n);

/* Is @op one that the guest does not measure itself: "swap-stage", "swap-pause"? */
bool bench_is_swap(const struct bench_op *op);

/* Swaps greeter there and back, some times: what the guest says of @op. */
int bench_swap(struct client *cl, const char *bundles, const struct bench_op *op,
	       struct bench_figures *ret_figures);

/* ---- the Linux side ---- */

/*
 * Runs @op for @time_ms in a process of its own. Result: 0; CTL_* with the error set, when the
 * program cannot be run at all; -ENODATA: it could not measure that, and says @ret_why.
 */
int bench_linux(struct ctl *c, const struct bench_op *op, uint64_t time_ms,
		struct bench_figures *ret_figures, char ret_why[BENCH_WHY_MAX]);

#endif
