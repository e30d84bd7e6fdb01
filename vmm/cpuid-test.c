/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "cm.h"
#include "cpuid.h"

static struct cpuid_table t;

static void fresh(void)
{
	t = (struct cpuid_table){.nent = 4};
	t.entries[0] = (struct kvm_cpuid_entry2){.function = 1, .ebx = 0x12345678};
	t.entries[1] = (struct kvm_cpuid_entry2){.function = 0xb};
	t.entries[2] = (struct kvm_cpuid_entry2){.function = 0x40000000, .eax = 0x40000001};
	t.entries[3] = (struct kvm_cpuid_entry2){.function = 0x8000001e, .eax = 99};
}

static void test_each_cpu(void **state)
{
	struct cpuid_config c = {.cpus = 3, .tsc_khz = 2500000, .tsc_deadline = true};

	(void)state;
	fresh();
	/* one table is used for all, one after the other */
	for (c.cpu = 0; c.cpu < 3; c.cpu++) {
		assert_int_equal(cpuid_prepare(&t, &c), 0);
		assert_int_equal(cpuid_find(&t, 1, 0)->ebx, 0x5678 | 4 << 16 | c.cpu << 24);
		assert_int_equal(cpuid_find(&t, 1, 0)->ecx, 1u << 31 | 1u << 24 | 1u << 21);
		assert_int_equal(cpuid_find(&t, 1, 0)->edx, 1u << 28);
		assert_int_equal(cpuid_find(&t, 0xb, 0)->edx, c.cpu);
		assert_int_equal(cpuid_find(&t, 0xb, 1)->edx, c.cpu);
		assert_int_equal(cpuid_find(&t, 0xb, 1)->eax, 2);
		assert_int_equal(cpuid_find(&t, 0xb, 1)->ebx, 3);
		assert_int_equal(cpuid_find(&t, 0x8000001e, 0)->eax, c.cpu);
		assert_int_equal(cpuid_find(&t, 0x40000000, 0)->eax, 0x40000010);
		assert_int_equal(cpuid_find(&t, 0x40000010, 0)->eax, 2500000);
		assert_int_equal(cpuid_find(&t, 0x40000010, 0)->ebx, 1000000);
		assert_int_equal(t.nent, 7);
	}
	assert_null(cpuid_find(&t, 0x1f, 0));
}

static void test_what_is_not_known(void **state)
{
	const struct cpuid_config c = {.cpus = 1};

	(void)state;
	fresh();
	assert_int_equal(cpuid_prepare(&t, &c), 0);
	assert_null(cpuid_find(&t, 0x40000010, 0));
	assert_int_equal(cpuid_find(&t, 0x40000000, 0)->eax, 0x40000001);
	assert_int_equal(cpuid_find(&t, 1, 0)->ecx, 1u << 31 | 1u << 21);
	assert_int_equal(cpuid_find(&t, 1, 0)->edx, 0);
	assert_int_equal(cpuid_find(&t, 0xb, 1)->eax, 0);
}

static void test_full(void **state)
{
	const struct cpuid_config c = {.cpus = 1, .tsc_khz = 1};

	(void)state;
	fresh();
	t.nent = CPUID_ENTRIES_MAX;
	assert_int_equal(cpuid_prepare(&t, &c), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_cpu),
		cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
