/* SPDX-License-Identifier: MIT */
/*
 * Interrupts that find next to no stack left. Whether the task that they find goes on or ends
 * with a stack overflow, the interrupt is handled: here the timer's, without which nobody who
 * sleeps on that CPU would wake again. Nor do queues and locks that all tasks share break when a
 * stack ends in the midst of using them.
 */
#include <theseus/upcall.h>

#include "test.h"

#include <theseus/upcall.h>

#define STEP 128u
#define DEEPEST 8192u /* bytes left with which surely nothing overflows */
#define NAP_NS (CLOCK_MS / 10)
#define MASKED 1u /* in a spinner's argument, beside what is a multiple of STEP */

static bool on(void)
{
	return __atomic_load_n(&unwind_test_state()->on, __ATOMIC_ACQUIRE);
}

/* Leaves @left bytes below it and waits for an interrupt, or for one to become pending. */
static __attribute__((noinline)) int64_t spin_with(uint64_t left, bool masked)
{
	struct task_info info;
	volatile char *room;

	if (task_describe(task_self(), &info) < 0)
		return -1;
	room = __builtin_alloca((uintptr_t)__builtin_frame_address(0) - info.stack_start - left);
	__asm__ volatile("" : : "r"(room) : "memory");
	while (on()) {
		if (!masked)
			continue;
		upcall_mask();
		while (on() && !(percpu_self()->mask & GATE_MASK_PENDING))
			;
		upcall_unmask();
	}
	return 0;
}

static int64_t spinner_run(uint64_t arg)
{
	unwind_test_reach(1);
	return spin_with(arg & ~(uint64_t)MASKED, arg & MASKED);
}
CELL_PROVIDE(task_ops, unwind_spinner) = {.run = spinner_run};

/* On the spinner's CPU. Result: 0 = it woke, and the spinner ended as it may. */
static int nap_beside(uint64_t arg, uint64_t affinity)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_exit exit = {0};
	struct task_ref spinner;
	int r = TASK_SPAWN(&spinner, IFACE(task_ops, unwind_spinner), arg, .affinity = affinity);

	if (r < 0)
		return r;
	r = unwind_test_await(1);
	for (unsigned i = 0; i < 3 && r == 0; i++)
		r = task_sleep_until(clock_after(NAP_NS));
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	if (r == 0)
		r = unwind_test_join(spinner, &exit);
	if (r == 0 && (exit.by_ledger || (exit.end == TASK_COMPLETED ? exit.value != 0
								     : exit.end != TASK_FAULTED)))
		r = -EPROTO;
	return r;
}

static int64_t sleeper_run(uint64_t affinity)
{
	int r = 0;

	for (uint64_t left = STEP; left <= DEEPEST && r == 0; left += STEP) {
		r = nap_beside(left, affinity);
		if (r == 0)
			r = nap_beside(left | MASKED, affinity);
	}
	return r;
}
CELL_PROVIDE(task_ops, unwind_sleeper) = {.run = sleeper_run};

/* The last CPU; the first, if there are more, stays able to tell. */
static int without_stack(struct test *test)
{
	uint64_t last = 1ull << (cpu_online() - 1);
	struct task_ref sleeper;
	struct task_exit exit;

	TEST_CHECK(test, task_set_affinity(task_self(), 1) == 0);
	TEST_CHECK(test, TASK_SPAWN(&sleeper, IFACE(task_ops, unwind_sleeper), last,
				    .affinity = last) == 0);
	TEST_CHECK(test, unwind_test_join(sleeper, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_COMPLETED);
	TEST_CHECK(test, exit.value == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_interrupt_without_stack) = {.run = without_stack};

/* ---- stacks that end within the operations of other cells ---- */

#define OVERFLOWS 64u

/* By turns, so that what comes to the end of the stack differs with @n. */
static void use_something(uint64_t n)
{
	struct unwind_test *s = unwind_test_state();

	switch (n % 4) {
	case 0:
		task_yield();
		break;
	case 1:
		(void)!task_sleep_until(clock_after(1));
		break;
	case 2:
		task_event_signal(&s->event);
		break;
	default:
		if (mutex_lock(&s->mutex, CLOCK_NEVER) >= 0) {
			(void)mutex_held(&s->mutex);
			mutex_unlock(&s->mutex);
		}
	}
}

static __attribute__((noinline)) int64_t overflow_in_use(uint64_t n, uint64_t depth)
{
	int64_t r;

	use_something(n);
	if (depth == UINT64_MAX)
		return 0;
	r = overflow_in_use(n * 5 + 1, depth + 1);
	__asm__ volatile("" : "+r"(r)); /* a frame of its own for each */
	return r;
}

static int64_t overflow_in_use_run(uint64_t arg)
{
	volatile char *room = __builtin_alloca(arg % 16 * 16);

	__asm__ volatile("" : : "r"(room) : "memory");
	return overflow_in_use(arg, 0);
}
CELL_PROVIDE(task_ops, unwind_overflow_in_use) = {.run = overflow_in_use_run};

static int in_use(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref tasks[4];
	struct task_exit exit;

	for (uint64_t n = 0; n < OVERFLOWS; n += ARRAY_SIZE(tasks)) {
		for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++)
			TEST_CHECK(test,
				   TASK_SPAWN(&tasks[i], IFACE(task_ops, unwind_overflow_in_use),
					      n + i) == 0);
		for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++) {
			TEST_CHECK(test, unwind_test_join(tasks[i], &exit) == 0);
			TEST_CHECK(test, exit.end == TASK_FAULTED);
		}
	}
	TEST_CHECK(test, mutex_lock(&s->mutex, UNWIND_TEST_LIMIT) >= 0);
	(void)mutex_held(&s->mutex);
	mutex_unlock(&s->mutex);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_overflow_in_other_cells) = {.run = in_use};
