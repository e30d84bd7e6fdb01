/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cm.h"
#include "vcpu-state.h"

static struct kvm_sregs s;
static struct kvm_regs r;
static struct failure f;

static void fresh(void)
{
	memset(&s, 0x77, sizeof(s));
	s.apic_base = 0xfee00900;
	vcpu_state_pvh(&s, &r, GPA(0x200008), GPA(0x90000));
}

/* 64-bit mode, as a restored vCPU may be in. */
static void fresh_long(void)
{
	fresh();
	s.cr0 = 0x80010031;
	s.cr3 = 0x1000;
	s.cr4 = 0x20;
	s.efer = 0x500;
	s.cs.l = 1;
	s.cs.db = 0;
	r.rip = 0x600000001000;
}

static void test_pvh(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(vcpu_state_check(&s, &r, &f), 0);
	assert_int_equal(r.rip, 0x200008);
	assert_int_equal(r.rbx, 0x90000);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.apic_base, 0xfee00900);
	assert_int_equal(s.cr0, 0x11);
	assert_int_equal(s.cs.base, 0);
	assert_int_equal(s.cs.limit, 0xffffffff);
	assert_int_equal(s.cs.db, 1);
	assert_int_equal(s.tr.limit, 0x67);
	fresh_long();
	assert_int_equal(vcpu_state_check(&s, &r, &f), 0);
}

/* Each rule of SDM vol. 3, 26.3.1, broken once. */
#define BROKEN(start, change)                                                                      \
	do {                                                                                       \
		start();                                                                           \
		change;                                                                            \
		if (vcpu_state_check(&s, &r, &f) != -EINVAL)                                       \
			fail_msg("was accepted: %s", #change);                                     \
	} while (0)

static void test_control_registers(void **state)
{
	(void)state;
	BROKEN(fresh, s.cr0 = 0x80000010);
	BROKEN(fresh, s.cr0 |= 1ull << 32);
	BROKEN(fresh, s.cr0 |= 1ull << 6);
	BROKEN(fresh, s.cr0 |= 1ull << 29);
	BROKEN(fresh, s.cr4 |= 1ull << 15);
	BROKEN(fresh, s.cr4 |= 1ull << 40);
	BROKEN(fresh, s.cr4 |= 1ull << 23);
	BROKEN(fresh, s.cr4 |= 1ull << 17);
	BROKEN(fresh, s.cr3 = 1ull << 52);
	BROKEN(fresh, s.efer = 1ull << 10);
	BROKEN(fresh, s.efer = 1ull << 1);
	BROKEN(fresh_long, s.cr4 = 0);
	BROKEN(fresh_long, s.cr0 = 0x11);
	BROKEN(fresh_long, s.efer = 0x100);
	BROKEN(fresh_long, s.efer = 0x400);
}

static void test_code_segment(void **state)
{
	(void)state;
	BROKEN(fresh, s.cs.unusable = 1);
	BROKEN(fresh, s.cs.base = 1ull << 32);
	BROKEN(fresh, s.cs.type = 3);
	BROKEN(fresh, s.cs.type = 10);
	BROKEN(fresh, s.cs.s = 0);
	BROKEN(fresh, s.cs.present = 0);
	BROKEN(fresh, s.cs.dpl = 3);
	BROKEN(fresh, (s.cs.type = 15, s.cs.dpl = 1));
	BROKEN(fresh, s.cs.g = 0);
	BROKEN(fresh, s.cs.limit = 0xfffffffe);
	BROKEN(fresh_long, s.cs.db = 1);
}

static void test_data_segments(void **state)
{
	(void)state;
	BROKEN(fresh, s.ss.selector |= 3);
	BROKEN(fresh, s.ss.dpl = 1);
	BROKEN(fresh, s.ss.type = 1);
	BROKEN(fresh, s.ss.base = 1ull << 40);
	BROKEN(fresh, s.ss.present = 0);
	BROKEN(fresh, s.ss.s = 0);
	BROKEN(fresh, s.ss.g = 0);
	BROKEN(fresh, s.ds.type = 2);
	BROKEN(fresh, s.ds.type = 9);
	BROKEN(fresh, s.es.s = 0);
	BROKEN(fresh, s.es.present = 0);
	BROKEN(fresh, s.ds.base = 1ull << 32);
	BROKEN(fresh, s.ds.selector |= 3);
	BROKEN(fresh, s.fs.base = 1ull << 47);
	BROKEN(fresh, s.gs.base = 0x8000000000000000);
	BROKEN(fresh, s.gs.limit = 0x100000 | 0xffe);
	fresh();
	s.ds = (struct kvm_segment){.unusable = 1, .type = 2, .base = 1ull << 40};
	s.fs.base = 0xffff800000000000;
	assert_int_equal(vcpu_state_check(&s, &r, &f), 0);
}

static void test_system_segments(void **state)
{
	(void)state;
	BROKEN(fresh, s.tr.unusable = 1);
	BROKEN(fresh, s.tr.selector = 4);
	BROKEN(fresh, s.tr.type = 9);
	BROKEN(fresh, s.tr.s = 1);
	BROKEN(fresh, s.tr.present = 0);
	BROKEN(fresh, s.tr.base = 1ull << 50);
	BROKEN(fresh, s.tr.g = 1);
	BROKEN(fresh_long, s.tr.type = 3);
	BROKEN(fresh, (s.ldt.unusable = 0, s.ldt.type = 2));
	BROKEN(fresh, (s.ldt.unusable = 0, s.ldt.present = 1, s.ldt.type = 3));
	BROKEN(fresh, (s.ldt.unusable = 0, s.ldt.present = 1, s.ldt.type = 2, s.ldt.selector = 4));
	fresh();
	s.tr.type = 3;
	s.ldt = (struct kvm_segment){.type = 2, .present = 1};
	assert_int_equal(vcpu_state_check(&s, &r, &f), 0);
}

static void test_tables_and_flags(void **state)
{
	(void)state;
	BROKEN(fresh, s.gdt.base = 1ull << 47);
	BROKEN(fresh, s.idt.base = 1ull << 63);
	BROKEN(fresh, r.rip = 1ull << 32);
	BROKEN(fresh_long, r.rip = 1ull << 47);
	BROKEN(fresh, r.rflags = 0);
	BROKEN(fresh, r.rflags = 2 | 1 << 3);
	BROKEN(fresh, r.rflags = 2 | 1 << 15);
	BROKEN(fresh, r.rflags = 2 | 1 << 22);
	BROKEN(fresh, r.rflags = 2 | 1 << 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_control_registers),
		cmocka_unit_test(test_code_segment),
		cmocka_unit_test(test_data_segments),
		cmocka_unit_test(test_system_segments),
		cmocka_unit_test(test_tables_and_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
