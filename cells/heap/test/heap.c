/* SPDX-License-Identifier: MIT */
#include <theseus/test.h>

#include <string.h>

#include <theseus/heap.h>

CELL_INFO(.name = "heap_test", .version = "1.0.0", .summary = "tests of the heap",
	  .safety = CELL_UNSAFE, .unsafe_reason = "hands addresses to tasks as numbers",
	  .quiescence = CELL_QUIESCE_ANY);

static int accounts_to_its_cell(struct test *test)
{
	struct heap_stats before, now;
	char *block;

	heap_stats(CELL_SELF, &before);
	block = heap_alloc(CELL_SELF, 1000);
	TEST_CHECK(test, block);
	memset(block, 0x5a, 1000);
	heap_stats(CELL_SELF, &now);
	heap_free(block);
	TEST_CHECK(test, now.objects == before.objects + 1);
	TEST_CHECK(test, now.bytes == before.bytes + 1000);
	heap_stats(CELL_SELF, &now);
	TEST_CHECK(test, now.objects == before.objects && now.bytes == before.bytes);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, heap_accounts_to_its_cell) = {.run = accounts_to_its_cell};
