/* SPDX-License-Identifier: MIT */
/*
 * Out of memory on purpose, for tests of cells (theseus/test.h): an operation is run with its
 * first allocation failing, its second, and so on until it needs no more. Each time it has to
 * fail with -ENOMEM, or to do without, and to leave nothing behind:
 *
 *	static const struct test_sweep sweep = {.run = make, .undo = unmake};
 *	return test_sweep(test, &sweep);
 *
 * Only what the calling task allocates fails.
 */
#ifndef THESEUS_TEST_SWEEP_H
#define THESEUS_TEST_SWEEP_H

#include <stdio.h>
#include <theseus/frames.h>
#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/task.h>
#include <theseus/test.h>

#define TEST_SWEEP_MAX 1000u               /* allocations of an operation */
#define TEST_SWEEP_SETTLE_NS 500000000ull /* what others free meanwhile may take so long */

struct test_sweep {
	int (*run)(void *arg);   /* 0, or -errno and nothing is left of it */
	void (*undo)(void *arg); /* takes back what run() did */
	void *arg;
};

struct test_sweep_held {
	uint64_t bytes, objects, pages, frames, tasks;
};

/* What is in use, without what is kept for speed, to tell blocks apart or to be used again. */
static inline void test_sweep_look(struct test_sweep_held *ret_held)
{
	struct frames_stats frames;
	struct mapped_stats mapped;
	struct heap_stats heap;

	task_trim();
	heap_trim();
	heap_stats((struct cell_ref){0}, &heap);
	mapped_stats(&mapped);
	frames_stats(&frames);
	*ret_held = (struct test_sweep_held){.bytes = heap.bytes,
					     .objects = heap.objects,
					     .pages = mapped.pages - heap.pages,
					     .frames = frames.used - frames.tables -
						       mapped.own_pages - heap.pages,
					     .tasks = task_count()};
}

static inline bool test_sweep_is_more(const struct test_sweep_held *now,
				      const struct test_sweep_held *before)
{
	return now->bytes > before->bytes || now->objects > before->objects ||
	       now->pages > before->pages || now->frames > before->frames ||
	       now->tasks > before->tasks;
}

/* Result: NULL, or what is wrong with the run whose @nth allocation failed, if any did. */
static inline const char *test_sweep_once(const struct test_sweep *s, unsigned nth,
					  bool *ret_failed)
{
	struct test_sweep_held before, now;
	uint64_t deadline_ns;
	int r;

	test_sweep_look(&before);
	(void)heap_fail_nth(nth);
	r = s->run(s->arg);
	*ret_failed = heap_fail_nth(0);
	if (r >= 0)
		s->undo(s->arg);
	if (r < 0 && (r != -ENOMEM || !*ret_failed))
		return *ret_failed ? "another error than -ENOMEM" : "fails although nothing failed";
	deadline_ns = clock_after(TEST_SWEEP_SETTLE_NS);
	for (test_sweep_look(&now); test_sweep_is_more(&now, &before); test_sweep_look(&now)) {
		if (clock_now_ns() > deadline_ns || task_sleep_until(clock_after(CLOCK_MS)) < 0)
			return "something is left over";
	}
	return NULL;
}

/* Runs the operation once as it is, for what only the first one ever makes, then the sweep. */
static inline __attribute__((unused)) int test_sweep(struct test *test, const struct test_sweep *s)
{
	bool failed = true;
	char reason[80];

	if (s->run(s->arg) < 0)
		return test_end(test, TEST_FAILED, "fails although nothing failed");
	s->undo(s->arg);
	for (unsigned nth = 1; failed && nth <= TEST_SWEEP_MAX; nth++) {
		const char *wrong = test_sweep_once(s, nth, &failed);

		if (!wrong)
			continue;
		snprintf(reason, sizeof(reason), "allocation %u fails: %s", nth, wrong);
		return test_end(test, TEST_FAILED, reason);
	}
	return failed ? test_end(test, TEST_FAILED, "there is no end of allocations") : TEST_PASSED;
}

#endif
