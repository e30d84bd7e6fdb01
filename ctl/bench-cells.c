/* SPDX-License-Identifier: MIT */
/* What `bench` does with cells: loads very many, and swaps one among them. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/bench.h>

#include "base/buf.h"
#include "bundle-arg.h"
#include "bundle/bundle.h"
#include "run.h"
#include "swap.h"
#include "util.h"

#define FILLER "bench_filler_00000" /* its name, and of all that it exports and provides */
#define FILLERS_MAX 100000u         /* names that are as long */
#define A_BUNDLE 64u                /* cells that the guest takes at once */
#define SWAPS 20u                   /* a round */
#define SWAP_TIMEOUT_NS (10 * NS_PER_SEC)

static int swap_bundle(struct client *cl, const uint8_t *data, size_t len,
		       struct swap_result *ret_result)
{
	struct swap_config config = {.data = data, .len = len, .timeout_ns = SWAP_TIMEOUT_NS};

	return swap_run(cl, &config, ret_result);
}

int bench_swap_in(struct client *cl, const uint8_t *data, size_t len)
{
	struct swap_result result;
	int r = swap_bundle(cl, data, len, &result);

	if (!r)
		theseus__response__free_unpacked(result.response, NULL);
	return r;
}

/* ---- very many ---- */

/* Fillers @first … @first + @n - 1. */
static int fill_some(struct client *cl, const struct bundle_cell *one, unsigned first, unsigned n)
{
	__attribute__((cleanup(buf_done))) struct buf out = {0};
	struct bundle_header header = {.sequence = 0};
	struct bundle_input inputs[A_BUNDLE];
	Theseus__Cell *manifests[A_BUNDLE];
	uint8_t *objects[A_BUNDLE];
	unsigned made = 0;
	int r = 0;

	for (; made < n && !r; made += !r) {
		char name[sizeof(FILLER) + 8];

		(void)snprintf(name, sizeof(name), "bench_filler_%05u",
			       (first + made) % FILLERS_MAX);
		r = bundle_cell_rename(one, FILLER, name, &manifests[made], &objects[made]);
		if (!r)
			inputs[made] =
				(struct bundle_input){manifests[made], objects[made], one->size};
	}
	if (!r)
		r = bundle_write(&header, inputs, n, &out);
	r = r ? ctl_oom(cl->ctl) : bench_swap_in(cl, out.data, out.len);
	while (made-- > 0) {
		theseus__cell__free_unpacked(manifests[made], NULL);
		free(objects[made]);
	}
	return r;
}

int bench_fill(struct client *cl, const char *bundles, uint64_t n)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	__attribute__((cleanup(bundle_drop))) struct bundle *bundle = NULL;
	char path[RUN_PATH_SIZE + 32];
	struct bundle_cell one;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/bench-filler.cells", bundles);
	if (bundle_open_file(path, &bundle, &reasons))
		return ctl_error(cl->ctl, CTL_FAILED, "no-such-file", "%s is no bundle", path);
	one = bundle_cell_at(bundle, 0);
	for (unsigned done = 0; done < n && !r; done += A_BUNDLE)
		r = fill_some(cl, &one, done,
			      n - done < A_BUNDLE ? (unsigned)(n - done) : A_BUNDLE);
	return r;
}

/* ---- one among them ---- */

bool bench_is_swap(const struct bench_op *op)
{
	return op->side == BENCH_GUEST && !strncmp(op->name, "swap-", 5);
}

static int swap_greeter(struct client *cl, const char *bundles, unsigned version,
			struct swap_result *ret_result)
{
	CLEANUP_FREE uint8_t *data = NULL;
	char path[RUN_PATH_SIZE + 32];
	size_t len;
	int r;

	(void)snprintf(path, sizeof(path), "%s/greeter-v%u.cells", bundles, version);
	r = bundle_file_load(cl->ctl, path, &data, &len);
	return r ? r : swap_bundle(cl, data, len, ret_result);
}

int bench_swap(struct client *cl, const char *bundles, const struct bench_op *op,
	       struct bench_figures *ret_figures)
{
	uint64_t ps[SWAPS];

	for (unsigned i = 0; i < SWAPS; i++) {
		struct swap_result result;
		int r = swap_greeter(cl, bundles, 2 - i % 2, &result);

		if (r)
			return r;
		ps[i] = 1000 * (strcmp(op->name, "swap-pause") ? result.response->swap->stage_ns
							       : result.response->swap->pause_ns);
		theseus__response__free_unpacked(result.response, NULL);
	}
	qsort(ps, SWAPS, sizeof(ps[0]), bench_compare);
	*ret_figures = (struct bench_figures){.median_ps = bench_rank(ps, SWAPS, 50),
					      .p99_ps = bench_rank(ps, SWAPS, 99),
					      .n = SWAPS};
	return 0;
}
