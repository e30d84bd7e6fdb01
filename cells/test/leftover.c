/* SPDX-License-Identifier: MIT */
#include "leftover.h"

#include <stdio.h>

#include <theseus/heap.h>
#include <theseus/mapped.h>
#include <theseus/task.h>

#define AGAIN_NS CLOCK_MS

void held_now(struct held *ret_held)
{
	struct mapped_stats mapped;
	struct heap_stats heap;

	task_trim();
	heap_trim();
	heap_stats((struct cell_ref){0}, &heap);
	mapped_stats(&mapped);
	ret_held->tasks = task_count();
	ret_held->pages = mapped.pages - heap.pages;
	ret_held->objects = heap.objects;
	ret_held->bytes = heap.bytes;
}

static bool is_more(const struct held *now, const struct held *before)
{
	return now->tasks > before->tasks || now->pages > before->pages ||
	       now->objects > before->objects || now->bytes > before->bytes;
}

bool held_more(const struct held *before, uint64_t limit_ns, char *ret_text, size_t size)
{
	uint64_t deadline_ns = clock_after(limit_ns);
	struct held now;

	for (held_now(&now); is_more(&now, before); held_now(&now)) {
		if (clock_now_ns() < deadline_ns && task_sleep_until(clock_after(AGAIN_NS)) == 0)
			continue;
		snprintf(ret_text, size,
			 "left over: %lld tasks, %lld pages, %lld heap objects of %lld bytes",
			 (long long)(now.tasks - before->tasks),
			 (long long)(now.pages - before->pages),
			 (long long)(now.objects - before->objects),
			 (long long)(now.bytes - before->bytes));
		return true;
	}
	return false;
}
