/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include <theseus/gate-call.h>

uint64_t seed_frames(struct seed_handoff *handoff, uint64_t pages)
{
	uint64_t bytes = pages * PAGE_SIZE;

	for (uint32_t i = 0; i < handoff->n_free; i++) {
		struct gate_range *r = &handoff->free[i];

		if (r->end - r->start >= bytes) {
			r->start += bytes;
			return r->start - bytes;
		}
	}
	seed_die("no-memory", "no %lu consecutive free pages of RAM for the first cells", pages);
}

/* Splits runs so that no call has more than GATE_PAGES_MAX pages. */
static void for_runs(const struct gate_run *runs, unsigned n, const char *what,
		     int64_t (*call)(const struct gate_run *runs, unsigned n))
{
	struct gate_run batch[GATE_RUNS_MAX];
	unsigned n_batch = 0, pages = 0;
	uint64_t done = 0; /* pages of runs[i] that earlier calls took */

	for (unsigned i = 0; i < n;) {
		struct gate_run r = runs[i];
		int64_t result;

		r.va += done * PAGE_SIZE;
		r.pa += done * PAGE_SIZE;
		r.pages -= (uint32_t)done;
		if (r.pages > GATE_PAGES_MAX - pages)
			r.pages = GATE_PAGES_MAX - pages;
		batch[n_batch++] = r;
		pages += r.pages;
		done += r.pages;
		if (done == runs[i].pages) {
			done = 0;
			i++;
		}
		if (i < n && pages < GATE_PAGES_MAX && n_batch < GATE_RUNS_MAX)
			continue;
		result = call(batch, n_batch);
		if (result != (int64_t)pages)
			seed_die("gate",
				 "the gate refuses to %s %u pages in %u runs from 0x%lx on: %ld",
				 what, pages, n_batch, batch[0].va, result);
		n_batch = pages = 0;
	}
}

void seed_map(const struct gate_run *runs, unsigned n)
{
	for_runs(runs, n, "map", gate_map);
}

void seed_seal(const struct gate_run *runs, unsigned n)
{
	for_runs(runs, n, "seal", gate_seal);
}
