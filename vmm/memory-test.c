/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cm.h"
#include "memory.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct guest_memory m;
static struct failure f;

static void map(uint64_t bytes)
{
	assert_int_equal(guest_memory_init(&m, bytes, 8 * GIB, &f), 0);
}

static void test_limits(void **state)
{
	(void)state;
	assert_int_equal(guest_memory_init(&m, 32 * MIB - 4096, GIB, &f), -EINVAL);
	assert_non_null(strstr(f.text, "31 MiB of memory is too little"));
	assert_int_equal(guest_memory_init(&m, GIB + 4096, GIB, &f), -EINVAL);
	assert_non_null(strstr(f.text, "too much"));
	assert_int_equal(guest_memory_init(&m, 64 * MIB + 1, GIB, &f), -EINVAL);
	assert_non_null(strstr(f.text, "multiple"));
	guest_memory_deinit(&m);
	guest_memory_deinit(&m);
}

static void test_bounds(void **state)
{
	(void)state;
	map(64 * MIB);
	assert_ptr_equal(guest_memory_at(&m, GPA(0), 1), m.base);
	assert_ptr_equal(guest_memory_at(&m, GPA(0), 64 * MIB), m.base);
	assert_ptr_equal(guest_memory_at(&m, GPA(64 * MIB - 1), 1), m.base + 64 * MIB - 1);
	assert_null(guest_memory_at(&m, GPA(0), 0));
	assert_null(guest_memory_at(&m, GPA(0), 64 * MIB + 1));
	assert_null(guest_memory_at(&m, GPA(64 * MIB), 1));
	assert_null(guest_memory_at(&m, GPA(64 * MIB - 1), 2));
	assert_null(guest_memory_at(&m, GPA(4096), UINT64_MAX));
	assert_null(guest_memory_at(&m, GPA(UINT64_MAX), 2));
	assert_null(guest_memory_at(&m, GPA(UINT64_MAX - 4095), 4096));
	guest_memory_deinit(&m);
	assert_null(guest_memory_at(&m, GPA(0), 1));
}

/* RAM goes round the hole below 4 GiB, and no access may span it. */
static void test_hole(void **state)
{
	(void)state;
	map(4 * GIB);
	assert_int_equal(m.n_regions, 2);
	assert_non_null(guest_memory_at(&m, GPA(3 * GIB - 1), 1));
	assert_null(guest_memory_at(&m, GPA(3 * GIB - 1), 2));
	assert_null(guest_memory_at(&m, GPA(3 * GIB), 1));
	assert_null(guest_memory_at(&m, GPA(4 * GIB - 1), 1));
	assert_null(guest_memory_at(&m, GPA(4 * GIB - 1), 2));
	assert_ptr_equal(guest_memory_at(&m, GPA(4 * GIB), 1), m.base + 3 * GIB);
	assert_non_null(guest_memory_at(&m, GPA(5 * GIB - 1), 1));
	assert_null(guest_memory_at(&m, GPA(5 * GIB), 1));
	guest_memory_deinit(&m);
}

static void test_copies(void **state)
{
	char text[8];

	(void)state;
	map(32 * MIB);
	assert_int_equal(guest_memory_write(&m, GPA(0x5000), "seven..", 8), 0);
	assert_int_equal(guest_memory_read(&m, GPA(0x5000), text, 8), 0);
	assert_string_equal(text, "seven..");
	assert_int_equal(guest_memory_read(&m, GPA(32 * MIB - 7), text, 8), -EFAULT);
	assert_int_equal(guest_memory_write(&m, GPA(32 * MIB), text, 8), -EFAULT);
	assert_int_equal(guest_memory_read(&m, GPA(0x9000), text, 8), 0);
	assert_memory_equal(text, "\0\0\0\0\0\0\0", 8); /* fresh memory is zero */
	guest_memory_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
