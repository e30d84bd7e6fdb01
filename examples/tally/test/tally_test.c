/* SPDX-License-Identifier: MIT */
/* Runs inside the guest, beside whichever version is live: `theseusctl exec test tally`. */
#include <theseus/tally.h>

#include <theseus/test.h>

CELL_INFO(.name = "tally_test", .version = "1.0.0", .summary = "tests of tally",
	  .safety = CELL_SAFE);

static int adds_what_it_is_told(struct test *test)
{
	uint64_t before = tally_add(0);

	TEST_CHECK(test, tally_add(2) >= before + 2);
	TEST_CHECK(test, tally_add(3) >= before + 5);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, tally_adds_what_it_is_told) = {.run = adds_what_it_is_told};
