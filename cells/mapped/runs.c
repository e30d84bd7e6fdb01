/* SPDX-License-Identifier: MIT */
/* The frames of a region: a list of runs that starts in its slot. */
#include "internal.h"

#include <string.h>
#include <theseus/frames.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct run_cursor runs_of(struct extent *e)
{
	return (struct run_cursor){e->runs, EXTENT_RUNS_INLINE, e->more};
}

bool run_next(struct run_cursor *c)
{
	struct extent *e;

	if (c->left > 1) {
		c->run++;
		c->left--;
		return true;
	}
	if (!c->more)
		return false;
	e = extent_at(c->more);
	*c = (struct run_cursor){e->list, EXTENT_RUNS_MORE, e->next};
	return true;
}

/* Where the next run of a region that is being made goes. */
struct run_tail {
	uint32_t *more; /* link to the slot that follows the last one */
	struct run_cursor at;
};

static int tail_grow(struct run_tail *t)
{
	struct extent *e;
	uint32_t slot;
	int r;

	r = slots_lock_with(1);
	if (r != 0)
		return r;
	slot = slot_take();
	slots_unlock();
	e = extent_at(slot);
	e->use = EXTENT_RUNS;
	e->next = 0;
	memset(e->list, 0, sizeof(e->list));
	*t->more = slot;
	t->more = &e->next;
	t->at = (struct run_cursor){e->list, EXTENT_RUNS_MORE, 0};
	return 0;
}

static int tail_append(struct run_tail *t, struct frame_run frames)
{
	struct run run = {(uint32_t)(frames.start.v >> PAGE_SHIFT), (uint32_t)frames.count};

	if (t->at.run->count > 0 && !run_next(&t->at)) {
		int r = tail_grow(t);

		if (r < 0)
			return r;
	}
	*t->at.run = run;
	return 0;
}

int take_frames(struct extent *e, uint64_t pages, bool contiguous)
{
	struct run_tail tail = {&e->more, runs_of(e)};
	uint64_t want = pages;

	while (pages > 0) {
		struct frame_run frames;
		int r = frames_alloc(want, 1, &frames);

		if (r == -ENOMEM && want > 1 && !contiguous) {
			want = (want + 1) / 2;
			continue;
		}
		if (r < 0)
			return r;
		r = tail_append(&tail, frames);
		if (r < 0) {
			frames_free(&frames);
			return r;
		}
		pages -= want;
		want = min_u64(want, pages);
	}
	return 0;
}

void give_frames(struct extent *e)
{
	struct run_cursor c = runs_of(e);
	uint32_t more = e->more;

	do {
		struct frame_run frames = {{(uint64_t)c.run->frame << PAGE_SHIFT}, c.run->count};

		frames_free(&frames);
	} while (run_next(&c));
	e->more = 0;
	slots_lock();
	while (more) {
		uint32_t slot = more;

		more = extent_at(slot)->next;
		slot_give(slot);
	}
	slots_unlock();
}
