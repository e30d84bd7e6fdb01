/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bits.h"

static void vectors_are_given_out_once_from_the_bottom(void **state)
{
	uint64_t used[4] = {0};

	(void)state;
	for (unsigned v = GATE_VECTOR_IRQ_FIRST; v <= GATE_VECTOR_IRQ_LAST; v++)
		assert_int_equal(bits_take_vector(used), (int)v);
	assert_int_equal(bits_take_vector(used), -ENOSPC);
	/* none outside the range was touched */
	assert_int_equal(used[0], 0);
	assert_true(used[3] == 0xffffffff);
}

static void a_vector_given_back_is_the_next_one(void **state)
{
	uint64_t used[4] = {0, UINT64_MAX, UINT64_MAX, UINT64_MAX};

	(void)state;
	used[0x77 / 64] &= ~(1ull << (0x77 % 64));
	assert_int_equal(bits_take_vector(used), 0x77);
	assert_int_equal(bits_take_vector(used), -ENOSPC);
}

static void pending_vectors_come_once_each_in_order(void **state)
{
	uint64_t pending[4] = {0};
	static const int vectors[] = {2, 63, 64, 127, 128, 192, 224, 255};

	(void)state;
	assert_int_equal(bits_take_pending(pending), -ENOENT);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		pending[vectors[i] / 64] |= 1ull << (vectors[i] % 64);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(bits_take_pending(pending), vectors[i]);
	assert_int_equal(bits_take_pending(pending), -ENOENT);
}

static void a_bit_set_meanwhile_is_kept(void **state)
{
	uint64_t pending[4] = {0, 1, 0, 0};

	(void)state;
	assert_int_equal(bits_take_pending(pending), 64);
	pending[0] |= 1ull << 2;
	pending[1] |= 1;
	assert_int_equal(bits_take_pending(pending), 2);
	assert_int_equal(bits_take_pending(pending), 64);
	assert_int_equal(bits_take_pending(pending), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_given_out_once_from_the_bottom),
		cmocka_unit_test(a_vector_given_back_is_the_next_one),
		cmocka_unit_test(pending_vectors_come_once_each_in_order),
		cmocka_unit_test(a_bit_set_meanwhile_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
