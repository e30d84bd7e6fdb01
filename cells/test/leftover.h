/* SPDX-License-Identifier: MIT */
/*
 * What the whole system holds, so that a test that gave back less than it took is found.
 * What the heap and the task cell keep for speed is given back before it is counted.
 */
#ifndef TEST_LEFTOVER_H
#define TEST_LEFTOVER_H

#include <theseus/types.h>

struct held {
	uint64_t tasks;
	uint64_t pages;          /* mapped, other than by the heap */
	uint64_t objects, bytes; /* in the heap */
};

void held_now(struct held *ret_held);

/*
 * Compares with @before until nothing is left over or @limit_ns from now: others work meanwhile,
 * and tasks that a test let go may still be ending. Result: true when something is left over,
 * which @ret_text then says. Blocks.
 */
bool held_more(const struct held *before, uint64_t limit_ns, char *ret_text, size_t size);

#endif
