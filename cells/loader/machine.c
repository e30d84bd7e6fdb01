/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <theseus/errno.h>
#include <theseus/frames.h>
#include <theseus/gate-call.h>

void machine_unmap(struct record_region *regions, uint32_t n)
{
	struct mapped pages[LINK_REGIONS];

	for (uint32_t i = 0; i < n; i++) {
		pages[i] = TAKE(regions[i].pages);
		regions[i].bytes = 0;
	}
	mapped_drop_many(pages, n);
}

static int place(struct record_region *region)
{
	struct mapped_info info;
	int r = mapped_info(region->pages, &info);

	if (r < 0)
		return r;
	region->at = window_at(info.start.v);
	return 0;
}

static int map_some(struct record_region *const *regions, uint32_t n)
{
	struct mapped pages[MAPPED_MANY_MAX];
	size_t bytes[MAPPED_MANY_MAX];
	unsigned m = 0;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		if (regions[i]->bytes)
			bytes[m++] = regions[i]->bytes;
	}
	r = m ? mapped_create_many(MAPPED_CELL, m, bytes, pages) : 0;
	for (uint32_t i = n; i > 0 && r == 0; i--) {
		if (regions[i - 1]->bytes) {
			regions[i - 1]->pages = pages[--m];
			r = place(regions[i - 1]);
		}
	}
	return r;
}

int machine_map(struct record_region *const *regions, uint32_t n)
{
	int r = 0;

	for (uint32_t done = 0; done < n && r == 0; done += MAPPED_MANY_MAX)
		r = map_some(regions + done,
			     n - done < MAPPED_MANY_MAX ? n - done : MAPPED_MANY_MAX);
	for (uint32_t i = 0; i < n && r < 0; i++)
		mapped_drop(&regions[i]->pages);
	return r;
}

int machine_adopt(struct record_region *region)
{
	if (region->bytes == 0)
		return 0;
	return mapped_adopt(MAPPED_CELL, (vaddr_t){window_addr(region->at)}, region->bytes,
			    &region->pages);
}

int machine_seal(const struct gate_run *runs, uint32_t n)
{
	struct gate_run batch[32];
	uint64_t done = 0; /* pages of *runs that are sealed or in the batch */

	while (n > 0) {
		uint32_t n_batch = 0, pages = 0;
		int64_t r;

		while (n > 0 && n_batch < ARRAY_SIZE(batch) && pages < GATE_PAGES_MAX) {
			struct gate_run run = *runs;

			run.va += done * PAGE_SIZE;
			run.pages -= (uint32_t)done;
			if (run.pages > GATE_PAGES_MAX - pages)
				run.pages = GATE_PAGES_MAX - pages;
			batch[n_batch++] = run;
			pages += run.pages;
			done += run.pages;
			if (done == runs->pages) {
				done = 0;
				runs++;
				n--;
			}
		}
		r = gate_seal(batch, n_batch);
		if (r != (int64_t)pages)
			return r < 0 ? (int)r : -EIO;
	}
	return 0;
}

/* Applies one batch, turned round if @back. */
static int patch_batch(const struct gate_patch *patches, uint32_t n, bool back)
{
	struct gate_patch batch[GATE_PATCHES_MAX];
	int64_t r;

	for (uint32_t i = 0; i < n; i++)
		batch[i] =
			(struct gate_patch){patches[i].va, back ? patches[i].to : patches[i].from,
					    back ? patches[i].from : patches[i].to};
	r = gate_patch(batch, n);
	return r < 0 ? (int)r : 0;
}

static uint32_t batch_size(uint32_t left)
{
	return left < GATE_PATCHES_MAX ? left : GATE_PATCHES_MAX;
}

/* Applies batches 0.. or, if @back, last.. Result: 0, or -errno and *ret_done records are. */
static int patch_all(const struct gate_patch *patches, uint32_t n, bool back, uint32_t *ret_done)
{
	int r = 0;

	*ret_done = 0;
	while (*ret_done < n && r == 0) {
		uint32_t count = batch_size(n - *ret_done);
		uint32_t at = back ? n - *ret_done - count : *ret_done;

		r = patch_batch(patches + at, count, back);
		if (r == 0)
			*ret_done += count;
	}
	return r;
}

int machine_patch(const struct gate_patch *patches, uint32_t n)
{
	uint32_t done, undone;
	int r = patch_all(patches, n, false, &done);

	if (r < 0 && patch_all(patches, done, true, &undone) < 0)
		gate_crash("loader: the gate refuses to take back half a commit");
	return r;
}

int machine_unpatch(const struct gate_patch *patches, uint32_t n)
{
	uint32_t done, redone;
	int r = patch_all(patches, n, true, &done);

	if (r < 0 && patch_all(patches + (n - done), done, false, &redone) < 0)
		gate_crash("loader: the gate refuses to take back half a revert");
	return r;
}

int machine_map_slots(uint32_t page)
{
	struct frame_run frame = {0};
	struct gate_run run = {.va = IFACE_TABLE + (uint64_t)page * PAGE_SIZE,
			       .pages = 1,
			       .flags = GATE_RUN_WRITE};
	int64_t r = frames_alloc(1, 1, &frame);

	if (r < 0)
		return (int)r;
	run.pa = frame.start.v;
	r = gate_map(&run, 1);
	if (r < 0)
		frames_free(&frame);
	return r < 0 ? (int)r : 0;
}
