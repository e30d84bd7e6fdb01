/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring.h"

/* Every length against a plain count of what must come next, over several rounds. */
static void test_order(void **state)
{
	uint32_t slots[7], in, out, got;

	(void)state;
	for (uint32_t length = 1; length <= 7; length++) {
		struct ring ring = {
			.slots = (uint8_t *)slots, .bytes = sizeof(slots[0]), .length = length};

		in = out = 0;
		for (unsigned step = 0; step < 200; step++) {
			for (uint32_t n = step % (length + 1); n > 0 && ring.count < length; n--) {
				ring_push(&ring, &in);
				in++;
			}
			for (uint32_t n = step % 3; n > 0 && ring.count > 0; n--) {
				ring_pop(&ring, &got);
				assert_int_equal(got, out);
				out++;
			}
			assert_int_equal(ring.count, in - out);
		}
	}
}

static void test_what_comes_back_is_first(void **state)
{
	uint32_t slots[3], value, got;
	struct ring ring = {.slots = (uint8_t *)slots, .bytes = sizeof(slots[0]), .length = 3};

	(void)state;
	for (uint32_t round = 0; round < 7; round++) {
		for (value = 0; value < 3; value++)
			ring_push(&ring, &value);
		ring_pop(&ring, &got);
		assert_int_equal(got, 0);
		ring_push_front(&ring, &got);
		for (value = 0; value < 3; value++) {
			ring_pop(&ring, &got);
			assert_int_equal(got, value);
		}
		assert_int_equal(ring.count, 0);
		value = 9;
		ring_push_front(&ring, &value); /* into an empty one, wherever it begins */
		ring_pop(&ring, &got);
		assert_int_equal(got, 9);
		ring_push(&ring, &value); /* so that the next round begins elsewhere */
		ring_pop(&ring, &got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_what_comes_back_is_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
