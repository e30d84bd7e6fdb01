/* SPDX-License-Identifier: MIT */
/*
 * Interrupts that find next to no stack left are handled (here the timer's, without which nobody
 * who sleeps on that CPU would wake again), and the task that they find goes on. Nor do queues and
 * locks that all tasks share break when a stack ends in the midst of using them.
 */
#include <theseus/upcall.h>

#include "test.h"

#include <theseus/upcall.h>

#define STEP 128u
#define DEEPEST 6144u      /* bytes left that are surely enough for any interrupt */
#define PENDING_CALLS 256u /* frames of upcall_unmask()'s slow path before it looks for room */
#define NAP_NS (CLOCK_MS / 10)
#define MASKED 1u /* in a spinner's argument, beside what is a multiple of STEP */

static bool on(void)
{
	return __atomic_load_n(&unwind_test_state()->on, __ATOMIC_ACQUIRE);
}

/* Result: 0 when registers that C code does not expect to change have not. */
static inline __attribute__((always_inline)) int64_t registers_stay_while(const uint32_t *word)
{
	uint64_t a = 0x1111, d = 0x2222, r8 = 0x3333, changed;

	__asm__ volatile("movq %[r8], %%r8\n\t"
			 "movq %%r8, %%xmm7\n\t"
			 "1: cmpl $0, (%[word])\n\t"
			 "jne 1b\n\t"
			 "xorq $0x1111, %[a]\n\t"
			 "xorq $0x2222, %[d]\n\t"
			 "xorq $0x3333, %%r8\n\t"
			 "movq %%xmm7, %[changed]\n\t"
			 "xorq $0x3333, %[changed]\n\t"
			 "orq %[a], %[changed]\n\t"
			 "orq %[d], %[changed]\n\t"
			 "orq %%r8, %[changed]"
			 : [a] "+a"(a), [d] "+d"(d), [changed] "=&c"(changed)
			 : [r8] "S"(r8), [word] "D"(word)
			 : "r8", "xmm7", "memory", "cc");
	return changed != 0;
}

/*
 * Leaves @left bytes below it and waits for an interrupt, or for one to become pending; what
 * looks for pending ones is called, and so needs a little more.
 */
static __attribute__((noinline)) int64_t spin_with(uint64_t left, bool masked)
{
	struct task_info info;
	volatile char *room;
	uint64_t sp;

	if (task_describe(task_self(), &info) < 0)
		return -1;
	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	room = __builtin_alloca(sp - info.stack_start - left);
	__asm__ volatile("" : : "r"(room) : "memory");
	if (!masked)
		return registers_stay_while(&unwind_test_state()->on);
	while (on()) {
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

/* On the spinner's CPU. Result: 0 = it woke, and the spinner went on with all its registers. */
static int nap_beside(uint64_t arg, uint64_t affinity)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_exit exit = {0};
	struct task_ref spinner;
	int r = TASK_SPAWN(&spinner, IFACE(task_ops, unwind_spinner), arg, .affinity = affinity);

	if (r < 0)
		return r;
	r = unwind_test_await(1);
	if (r == 0)
		r = task_sleep_until(clock_after(NAP_NS));
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	if (r == 0)
		r = unwind_test_join(spinner, &exit);
	if (r == 0 && (exit.end != TASK_COMPLETED || exit.value != 0))
		r = -EPROTO;
	return r;
}

static int64_t sleeper_run(uint64_t affinity)
{
	int r = 0;

	for (uint64_t left = STEP; left <= DEEPEST && r == 0; left += STEP) {
		r = nap_beside(left, affinity);
		if (r == 0 && left > PENDING_CALLS)
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

/* ---- what a stack is extended with ---- */

#define TIGHT_BYTES 2048u /* more than task_describe() needs, less than an interrupt */

static __attribute__((noinline)) int64_t fill_up(uint64_t n)
{
	volatile uint8_t bytes[200];

	bytes[n % sizeof(bytes)] = 1;
	return n == UINT64_MAX ? 0 : fill_up(n + 1) + bytes[0];
}

/* Stays near the end of its stack until an interrupt has extended it. */
static __attribute__((noinline)) int64_t be_extended(bool overflow)
{
	struct task_info info;
	volatile char *room;
	uint64_t sp, bytes;

	if (task_describe(task_self(), &info) < 0)
		return -1;
	bytes = info.stack_bytes;
	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	room = __builtin_alloca(sp - info.stack_start - TIGHT_BYTES);
	__asm__ volatile("" : : "r"(room) : "memory");
	while (info.stack_bytes == bytes) {
		if (task_describe(task_self(), &info) < 0)
			return -1;
	}
	return overflow ? fill_up(0) : 0;
}

static int64_t overflow_extended(void)
{
	return be_extended(true);
}

static int64_t overflow_extended_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(overflow_extended);
}
CELL_PROVIDE(task_ops, unwind_overflow_extended) = {.run = overflow_extended_run};

static int64_t return_extended_run(uint64_t arg)
{
	struct task_info info;
	uint64_t bytes;

	(void)arg;
	if (task_describe(task_self(), &info) < 0)
		return -1;
	bytes = info.stack_bytes;
	if (be_extended(false) < 0)
		return -1;
	do {
		if (task_describe(task_self(), &info) < 0)
			return -1;
	} while (info.stack_bytes != bytes);
	return 0;
}
CELL_PROVIDE(task_ops, unwind_return_extended) = {.run = return_extended_run};

/* Joins it by so many tries that timers go off all the time. */
static int join_restlessly(struct task_ref task, struct task_exit *ret_exit)
{
	uint64_t limit_ns = UNWIND_TEST_LIMIT;
	int r;

	do {
		r = task_join(task, clock_after(NAP_NS), ret_exit);
	} while (r == -ETIMEDOUT && clock_now_ns() < limit_ns);
	return r;
}

/* On this CPU, where the timers go off. */
static int run_restlessly(struct task_ops_h entry, struct task_exit *ret_exit)
{
	struct task_ref task;
	int r = task_set_affinity(task_self(), 1);

	if (r < 0)
		return r;
	r = TASK_SPAWN(&task, entry, 0, .affinity = 1);
	return r < 0 ? r : join_restlessly(task, ret_exit);
}

static int extension_goes_back(struct test *test)
{
	struct task_exit exit;

	TEST_CHECK(test, run_restlessly(IFACE(task_ops, unwind_return_extended), &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_extended_stack_shrinks) = {.run = extension_goes_back};

static int extended_overflows(struct test *test)
{
	struct task_exit exit;

	(void)unwind_test_begin();
	TEST_CHECK(test, run_restlessly(IFACE(task_ops, unwind_overflow_extended), &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_FAULTED && !exit.by_ledger);
	TEST_CHECK(test, unwind_test_dropped(1));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_extended_stack_overflows) = {.run = extended_overflows};

#define TIGHT_MANY 16u

/* More than there is memory for: whoever gets none ends as if it had overflowed. */
static int many_extended(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref tasks[TIGHT_MANY];
	struct task_exit exit;

	TEST_CHECK(test, task_set_affinity(task_self(), 1) == 0);
	for (unsigned i = 0; i < TIGHT_MANY; i++)
		TEST_CHECK(test, TASK_SPAWN(&tasks[i], IFACE(task_ops, unwind_spinner), TIGHT_BYTES,
					    .affinity = 1) == 0);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	for (unsigned i = 0; i < TIGHT_MANY; i++)
		TEST_CHECK(test, task_sleep_until(clock_after(NAP_NS)) == 0);
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < TIGHT_MANY; i++) {
		TEST_CHECK(test, join_restlessly(tasks[i], &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED ||
					 (exit.end == TASK_COMPLETED && exit.value == 0));
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_extended_stacks_are_many) = {.run = many_extended};

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
