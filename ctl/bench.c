/* SPDX-License-Identifier: MIT */
/* bench: brings the cell `bench` into a guest, measures both sides in turn, takes it out. */
#include "bench.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "bundle-arg.h"
#include "bundle/bundle.h"
#include "client.h"
#include "commands.h"
#include "exec.h"
#include "run.h"
#include "util.h"
#include "vm.h"

#define ROUNDS 5
#define TIME_NS (50 * NS_PER_MS)
#define HEAVY 10000     /* a guest measure among so many takes seconds: first and last round only */
#define MEMORY_MIB 1024 /* 100,000 regions and 10,000 stacks */
#define EXEC_LIMIT_NS (120 * NS_PER_SEC)

struct bench_run {
	struct ctl *ctl;
	struct client *cl;
	uint64_t rounds, time_ms, cpus;
	const char *accel; /* for VMs of its own */
	char measured_accel[16];
	const struct bench_row **rows; /* chosen */
	size_t n_rows;
	struct bench_measure *measures;
	size_t n_measures;
	char bundle_dir[RUN_PATH_SIZE];
};

/* ---- what is measured ---- */

const struct bench_measure *bench_find(const struct bench_view *view, const struct bench_op *op,
				       const char *config)
{
	for (size_t i = 0; i < view->n_measures; i++) {
		const struct bench_measure *m = &view->measures[i];

		if (op->side != BENCH_NOTHING && m->op.side == op->side &&
		    m->op.param == op->param && !strcmp(m->op.name, op->name) &&
		    !strcmp(m->config, config))
			return m;
	}
	return NULL;
}

static void add_measure(struct bench_run *b, const struct bench_op *op, const char *config)
{
	struct bench_view view = {.measures = b->measures, .n_measures = b->n_measures};

	if (op->side == BENCH_NOTHING || bench_find(&view, op, config))
		return;
	b->measures[b->n_measures++] = (struct bench_measure){.op = *op, .config = config};
}

static int unknown_name(struct ctl *c, const char *name)
{
	int r = ctl_error(c, CTL_USAGE, "no-such-benchmark",
			  "bench %.40s: there is no such benchmark", name);

	for (const struct bench_row *row = bench_rows; row->family; row++)
		if (row == bench_rows || strcmp(row->family, row[-1].family) != 0)
			ctl_error_reason(c, row->family);
	return r;
}

/* The rows of family @name, of all when it is NULL; where @whole is false, without boots. */
static int choose(struct bench_run *b, const char *name, bool whole)
{
	size_t n = 0;
	bool known = false;

	for (const struct bench_row *row = bench_rows; row->family; row++)
		n++;
	b->rows = calloc(n, sizeof(*b->rows));
	b->measures = calloc(2 * n, sizeof(*b->measures));
	if (!b->rows || !b->measures)
		return ctl_oom(b->ctl);
	for (const struct bench_row *row = bench_rows; row->family; row++) {
		if (name && strcmp(row->family, name) != 0)
			continue;
		known = true;
		if (*row->config && !whole)
			continue;
		b->rows[b->n_rows++] = row;
		add_measure(b, &row->guest, row->config);
		add_measure(b, &row->against, bench_against_config(row));
	}
	if (!known)
		return unknown_name(b->ctl, name);
	if (!b->n_rows)
		return ctl_error(b->ctl, CTL_USAGE, "usage",
				 "bench %s needs other boots of the guest: name no VM, then it "
				 "starts its own",
				 name);
	return 0;
}

/* ---- one measure ---- */

static int guest_command(struct bench_run *b, char *const *argv, int argc,
			 Theseus__Response **ret_response)
{
	return exec_run(b->cl, argc, (char **)(uintptr_t)argv, EXEC_LIMIT_NS, ret_response);
}

static int measure_guest(struct bench_run *b, const struct bench_op *op,
			 struct bench_figures *ret_figures, char why[BENCH_WHY_MAX])
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_FREE char *text = NULL;
	char param[24], ms[24];
	char *argv[] = {(char *)(uintptr_t) "bench", (char *)(uintptr_t)op->name, param, ms, NULL};
	int r;

	(void)snprintf(param, sizeof(param), "%llu", (unsigned long long)op->param);
	(void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)b->time_ms);
	r = guest_command(b, argv, 4, &response);
	if (r)
		return r;
	text = clean_text(response->exec->output.data, response->exec->output.len, true);
	if (!text)
		return ctl_oom(b->ctl);
	if (response->exec->status) {
		text[strcspn(text, "\n")] = '\0';
		(void)snprintf(why, BENCH_WHY_MAX, "%.*s", (int)BENCH_WHY_MAX - 1, text);
		return -ENODATA;
	}
	if (bench_parse(text, op, ret_figures))
		return ctl_error(b->ctl, CTL_FAILED, "bad-output",
				 "the guest's bench %s: unexpected output", op->name);
	return 0;
}

/* One round of @m; one that cannot be measured is not tried again. */
static int measure(struct bench_run *b, struct bench_measure *m, uint64_t round)
{
	bool heavy = m->op.side == BENCH_GUEST && m->op.param >= HEAVY;
	int r;

	if (*m->why || (heavy && round > 0 && round < b->rounds - 1))
		return 0;
	if (bench_is_swap(&m->op))
		r = bench_swap(b->cl, b->bundle_dir, &m->op, &m->rounds[m->n]);
	else if (m->op.side == BENCH_GUEST)
		r = measure_guest(b, &m->op, &m->rounds[m->n], m->why);
	else
		r = bench_linux(b->ctl, &m->op, b->time_ms, &m->rounds[m->n], m->why);
	if (r == -ENODATA) {
		ctl_note(b->ctl, "not measured: %s", m->why);
		return 0;
	}
	m->n += !r;
	return r;
}

/* Rows come in pairs, guest and what it is compared with; every other round the other way. */
static int measure_rounds(struct bench_run *b, const char *config)
{
	for (uint64_t round = 0; round < b->rounds; round++) {
		ctl_note(b->ctl, "round %llu of %llu%s%s", (unsigned long long)round + 1,
			 (unsigned long long)b->rounds, *config ? ", " : "", config);
		for (size_t i = 0; i < b->n_measures; i++) {
			size_t at = round % 2 ? b->n_measures - 1 - i : i;
			int r = 0;

			if (!strcmp(b->measures[at].config, config))
				r = measure(b, &b->measures[at], round);
			if (r)
				return r;
		}
	}
	return 0;
}

/* ---- the cell in the guest ---- */

static int bring_in(struct bench_run *b)
{
	char path[RUN_PATH_SIZE + 16];
	CLEANUP_FREE uint8_t *data = NULL;
	size_t len;
	int r;

	(void)snprintf(path, sizeof(path), "%s/bench.cells", b->bundle_dir);
	r = bundle_file_load(b->ctl, path, &data, &len);
	return r ? r : bench_swap_in(b->cl, data, len);
}

/* A bundle without cells, which takes `bench` out. */
static int take_out(struct bench_run *b)
{
	__attribute__((cleanup(buf_done))) struct buf out = {0};
	char *gone[] = {(char *)(uintptr_t) "bench"};
	Theseus__Manifest manifest = THESEUS__MANIFEST__INIT;

	manifest.format = BUNDLE_FORMAT;
	manifest.obsoletes = gone;
	manifest.n_obsoletes = 1;
	if (bundle_write_raw(&manifest, NULL, NULL, &out))
		return ctl_oom(b->ctl);
	return bench_swap_in(b->cl, out.data, out.len);
}

/* Keeps the first error: what comes after it is tidying up. */
static int after(struct bench_run *b, int result, int (*step)(struct bench_run *b))
{
	struct ctl_error saved = b->ctl->error;
	int r;

	b->ctl->error = (struct ctl_error){0};
	r = step(b);
	if (!result)
		return r;
	ctl_error_clear(b->ctl);
	b->ctl->error = saved;
	return result;
}

static int bench_on_target(struct bench_run *b, const struct target *target, const char *config)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *status = NULL;
	int r = client_open(b->ctl, target, &b->cl);

	(void)snprintf(b->measured_accel, sizeof(b->measured_accel), "libvirt");
	if (!r && target->kind == TARGET_SOCKET) {
		r = vm_status(b->cl, &status);
		if (!r) {
			(void)snprintf(b->measured_accel, sizeof(b->measured_accel), "%s",
				       status->vm->accel);
			if (!*config)
				b->cpus = status->vm->cpus;
		}
	}
	if (!r && !strncmp(config, "cells=", 6))
		r = bench_fill(b->cl, b->bundle_dir, strtoul(config + 6, NULL, 10));
	if (!r)
		r = bring_in(b);
	if (r)
		return r;
	r = measure_rounds(b, config);
	/* Without a guest there is nothing to tidy up. */
	if (r == CTL_LOST || r == CTL_NO_VM)
		return r;
	return after(b, r, take_out);
}

/* ---- VMs of its own ---- */

static int bench_on_own_vm(struct bench_run *b, const char *config)
{
	char name[48], bundle[RUN_PATH_SIZE + 64];
	struct run_config run = {.accel = b->accel,
				 .name = name,
				 .cpus = b->cpus,
				 .memory_mib = MEMORY_MIB,
				 .timeout_ns = RUN_TIMEOUT_NS};
	struct run_vm vm;
	int r;

	(void)snprintf(name, sizeof(name), "bench-%d", (int)getpid());
	if (!strncmp(config, "sched=", 6))
		run.cmdline = config;
	if (!strncmp(config, "cpus=", 5))
		run.cpus = strtoul(config + 5, NULL, 10);
	if (!strncmp(config, "heap=", 5)) {
		(void)snprintf(bundle, sizeof(bundle), "%s/boot-heap-%s.cells", b->bundle_dir,
			       config + 5);
		run.bundle = bundle;
	}
	r = run_start(b->ctl, &run, &vm);
	if (r)
		return r;
	r = bench_on_target(b, &vm.target, config);
	r = run_end(b->ctl, &vm, b->cl, r);
	client_close(b->cl);
	b->cl = NULL;
	return r;
}

/* Boots of a kind follow one another; each kind once. */
static int bench_on_own_vms(struct bench_run *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->n_rows; i++) {
		bool done = false;

		for (size_t k = 0; k < i; k++)
			done = done || !strcmp(b->rows[k]->config, b->rows[i]->config);
		if (!done)
			r = bench_on_own_vm(b, b->rows[i]->config);
	}
	return r;
}

/* ---- the command ---- */

static int read_options(struct bench_run *b)
{
	uint64_t time_ns = TIME_NS;
	int r = ctl_option_number(b->ctl, "rounds", 1, BENCH_ROUNDS_MAX, &b->rounds);

	b->accel = ctl_option(b->ctl, "accel");
	if (!r)
		r = ctl_option_number(b->ctl, "cpus", 1, 16, &b->cpus);
	if (!r)
		r = ctl_option_duration(b->ctl, "time", &time_ns);
	b->time_ms = time_ns / NS_PER_MS;
	if (!r && (b->time_ms < 1 || b->time_ms > 10000))
		r = ctl_error(b->ctl, CTL_USAGE, "usage", "--time: 1ms to 10s are possible");
	return r;
}

static int find_bundles(struct bench_run *b)
{
	char boot[RUN_PATH_SIZE];
	int r = run_find_file(b->ctl, RUN_BUNDLE, boot, sizeof(boot));

	if (!r)
		(void)snprintf(b->bundle_dir, sizeof(b->bundle_dir), "%s", dirname(boot));
	return r;
}

static int show(struct bench_run *b)
{
	struct bench_view view = {.accel = b->measured_accel,
				  .cpus = b->cpus,
				  .rounds = b->rounds,
				  .measures = b->measures,
				  .n_measures = b->n_measures,
				  .rows = b->rows,
				  .n_rows = b->n_rows};
	bool any = false;

	(b->ctl->json ? json_bench : text_bench)(b->ctl, &view);
	for (size_t i = 0; i < b->n_measures; i++)
		any = any || (b->measures[i].op.side == BENCH_GUEST && b->measures[i].n);
	return any ? 0 : ctl_error(b->ctl, CTL_FAILED, "not-measured", "nothing could be measured");
}

int cmd_bench(struct ctl *c, int argc, char **argv)
{
	const char *env = getenv("THESEUS_VM");
	bool own = !(c->name || c->socket || c->domain || (env && *env));
	struct bench_run b = {.ctl = c, .rounds = ROUNDS, .cpus = 2};
	struct target target;
	int r = read_options(&b);

	if (!r)
		r = choose(&b, argc > 1 ? argv[1] : NULL, own);
	if (!r)
		r = find_bundles(&b);
	if (!r && own) {
		r = bench_on_own_vms(&b);
	} else if (!r) {
		r = target_resolve(c, TARGET_CHANGES, &target);
		if (!r)
			r = bench_on_target(&b, &target, "");
	}
	if (!r)
		r = show(&b);
	client_close(b.cl);
	free(b.rows);
	free(b.measures);
	return r;
}
