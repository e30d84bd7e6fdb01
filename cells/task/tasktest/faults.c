/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <theseus/switch.h>
#include <theseus/trap.h>

#include "tasktest.h"

/* The address comes from memory, so that the compiler cannot see what it is. */
static volatile uint64_t *elsewhere(uint64_t at)
{
	__asm__("" : "+r"(at));
	return (volatile uint64_t *)(uintptr_t)at;
}

static __attribute__((noinline)) uint64_t deeper(volatile uint64_t *from)
{
	volatile uint64_t here[32];

	if (*from == UINT64_MAX)
		return 0;
	here[0] = *from + 1;
	return deeper(here) + here[0];
}

void faulty(enum role role)
{
	volatile uint64_t zero = 0;

	switch (role) {
	case ROLE_NULL:
		*elsewhere(0x10) = 1;
		break;
	case ROLE_DIVIDE:
		__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; divq %0" ::"r"(zero)
				 : "rax", "rdx");
		break;
	case ROLE_UD:
		TRAP("a deliberate trap");
	case ROLE_GP:
		__asm__ volatile("hlt");
		break;
	case ROLE_OVERFLOW:
		shared()->counts[7] = deeper(&zero);
		break;
	case ROLE_JUMP:
		((void (*)(void))(uintptr_t)elsewhere(0x123456))();
		break;
	default:
		break;
	}
}

static void check_fault(enum role role, uint32_t vector, bool located)
{
	uint64_t faults = upcall_fault_count();
	struct task_exit exit = finish(start(role, 0, 0));
	struct upcall_fault fault;

	CHECK_EQUAL(exit.end, TASK_FAULTED);
	CHECK_EQUAL(upcall_fault_count(), faults + 1);
	CHECK_EQUAL(exit.fault, faults + 1);
	CHECK_EQUAL(upcall_fault_get(exit.fault, &fault), 0);
	CHECK_EQUAL(fault.vector, vector);
	CHECK_EQUAL(fault.outcome, UPCALL_LANDED);
	CHECK_EQUAL(strcmp(fault.task_name, "role"), 0);
	if (located)
		CHECK_EQUAL(strcmp(fault.cell, "tasktest"), 0);
	CHECK_EQUAL(fault.stack_overflow, role == ROLE_OVERFLOW);
}

static void a_fault_ends_its_task_alone(void)
{
	check_fault(ROLE_NULL, 14, true);
	check_fault(ROLE_DIVIDE, 0, true);
	check_fault(ROLE_UD, 6, true);
	check_fault(ROLE_GP, 13, true);
	check_fault(ROLE_JUMP, 14, false);
	check_fault(ROLE_OVERFLOW, 14, true);
}

static void many_faults_leave_the_system_sound(void)
{
	for (unsigned i = 0; i < 24; i++)
		CHECK_EQUAL(finish(start(ROLE_NULL + i % 6, 0, i % cpu_online() + 1)).end,
			    TASK_FAULTED);
	CHECK_EQUAL(finish(start(ROLE_RETURN, 5, 0)).value, 5);
	CHECK_EQUAL(upcall_depth(), 0);
}

static void the_record_keeps_the_newest(void)
{
	uint64_t last = upcall_fault_count();
	struct upcall_fault fault;

	CHECK_EQUAL(upcall_fault_get(last, &fault), 0);
	CHECK_EQUAL(upcall_fault_get(last - UPCALL_FAULTS_MAX + 1, &fault), 0);
	CHECK_EQUAL(upcall_fault_get(last - UPCALL_FAULTS_MAX, &fault), -ENOENT);
	CHECK_EQUAL(upcall_fault_get(last + 1, &fault), -ENOENT);
	CHECK_EQUAL(upcall_fault_get(0, &fault), -ENOENT);
}

static int64_t fault_masked(void *arg)
{
	upcall_mask();
	upcall_mask();
	faulty(*(const enum role *)arg);
	return 0;
}

static int64_t fault_nested(void *arg)
{
	int64_t fault = 0;

	CHECK_EQUAL(switch_protect(fault_masked, arg, &fault), -EFAULT);
	CHECK_EQUAL(upcall_depth(), 0);
	CHECK(fault > 0);
	return 42;
}

static void protected_calls_nest_and_restore_the_mask(void)
{
	enum role role = ROLE_NULL;
	int64_t value = 0;

	CHECK_EQUAL(switch_protect(fault_nested, &role, &value), 0);
	CHECK_EQUAL(value, 42);
	upcall_mask();
	role = ROLE_OVERFLOW;
	CHECK_EQUAL(switch_protect(fault_masked, &role, &value), -EFAULT);
	CHECK_EQUAL(upcall_depth(), 1);
	upcall_unmask();
}

static int64_t sleep_protected(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
	faulty(ROLE_DIVIDE);
	return 0;
}

static void protection_moves_with_the_task(void)
{
	struct task_ref spinners[2];
	int64_t value;

	for (unsigned i = 0; i < 2; i++)
		spinners[i] = start(ROLE_SPIN, i, 0);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQUAL(switch_protect(sleep_protected, NULL, &value), -EFAULT);
	stop_all();
	for (unsigned i = 0; i < 2; i++)
		(void)finish(spinners[i]);
}

const struct test fault_tests[] = {
	{"a fault ends its task alone", a_fault_ends_its_task_alone, 1},
	{"many faults leave the system sound", many_faults_leave_the_system_sound, 1},
	{"the record keeps the newest", the_record_keeps_the_newest, 1},
	{"protected calls nest and restore the mask", protected_calls_nest_and_restore_the_mask, 1},
	{"protection moves with the task", protection_moves_with_the_task, 1},
};
const unsigned n_fault_tests = ARRAY_SIZE(fault_tests);
