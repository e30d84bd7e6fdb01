/* SPDX-License-Identifier: MIT */
/* Faults: every cleanup up to the landing runs once, locks are free, the joiner learns why. */
#include <stdlib.h>
#include <string.h>
#include <theseus/switch.h>
#include <theseus/upcall.h>

#include "test.h"

#define VECTOR_DIVIDE 0
#define VECTOR_PF 14

/* Checks that @entry faulted with @vector, unwound. */
#define CHECK_FAULTED(test, name, wanted)                                                          \
	do {                                                                                       \
		struct upcall_fault fault_;                                                        \
		struct task_exit exit_;                                                            \
		TEST_CHECK(test, unwind_test_run(IFACE(task_ops, name), &exit_) == 0);             \
		TEST_CHECK(test, exit_.end == TASK_FAULTED);                                       \
		TEST_CHECK(test, !exit_.by_ledger);                                                \
		TEST_CHECK(test, upcall_fault_get(exit_.fault, &fault_) == 0);                     \
		TEST_CHECK(test, fault_.vector == (wanted));                                       \
		TEST_CHECK(test, unwind_test_dropped(1));                                          \
	} while (0)

/* Not NULL, which the checked build finds before the CPU does. */
static int *nowhere(void)
{
	int *p = (int *)(uintptr_t)16;

	__asm__("" : "+r"(p));
	return p;
}

/* ---- in the frame that has the cleanup, and in what it called ---- */

static int64_t fault_here(void)
{
	*nowhere() = 1;
	return 0;
}

static int64_t in_leaf_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fault_here);
}
CELL_PROVIDE(task_ops, unwind_in_leaf) = {.run = in_leaf_run};

static int in_leaf(struct test *test)
{
	(void)unwind_test_begin();
	CHECK_FAULTED(test, unwind_in_leaf, VECTOR_PF);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_in_leaf) = {.run = in_leaf};

/* A fault at another instruction than one that touches memory. */
static int64_t divide(void)
{
	int64_t zero = 0, quotient = 1;

	__asm__ volatile("cqto; idivq %1" : "+a"(quotient) : "r"(zero) : "rdx", "cc");
	return quotient;
}

static int compare(const void *a, const void *b)
{
	(void)a;
	(void)b;
	return (int)unwind_test_descend(divide);
}

/* This cell, libc's qsort, and this cell again. */
static int64_t sort_badly(void)
{
	int numbers[] = {3, 1, 2};

	qsort(numbers, ARRAY_SIZE(numbers), sizeof(numbers[0]), compare);
	return numbers[0];
}

static int64_t in_callee_run(uint64_t arg)
{
	(void)arg;
	return sort_badly();
}
CELL_PROVIDE(task_ops, unwind_in_callee) = {.run = in_callee_run};

static int in_callee(struct test *test)
{
	(void)unwind_test_begin();
	CHECK_FAULTED(test, unwind_in_callee, VECTOR_DIVIDE);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_behind_other_cells) = {.run = in_callee};

/* The frame that faults has no cleanup and is another cell's. */
static int64_t copy_nowhere(void)
{
	char bytes[64] = "nowhere";

	memcpy(nowhere(), bytes, sizeof(bytes));
	return 0;
}

static int64_t in_libc_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(copy_nowhere);
}
CELL_PROVIDE(task_ops, unwind_in_libc) = {.run = in_libc_run};

static int in_libc(struct test *test)
{
	(void)unwind_test_begin();
	CHECK_FAULTED(test, unwind_in_libc, VECTOR_PF);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_in_other_cell) = {.run = in_libc};

static int64_t call_nowhere(void)
{
	int64_t (*wild)(void) = (int64_t(*)(void))(uintptr_t)nowhere();

	return wild() + 1;
}

static int64_t wild_call_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(call_nowhere);
}
CELL_PROVIDE(task_ops, unwind_wild_call) = {.run = wild_call_run};

static int wild_call(struct test *test)
{
	(void)unwind_test_begin();
	CHECK_FAULTED(test, unwind_wild_call, VECTOR_PF);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_wild_call) = {.run = wild_call};

/* ---- stack overflow ---- */

struct filler {
	uint8_t bytes[40];
};

static void drop_entered(const struct filler *filler)
{
	(void)filler;
	unwind_test_state()->left++;
}

static __attribute__((noinline)) int64_t recurse(uint64_t n)
{
	struct filler filler OWNED(drop_entered);

	memset(&filler, (int)n, sizeof(filler));
	unwind_test_state()->entered++;
	__asm__ volatile("" : "+r"(n) : "r"(&filler) : "memory");
	if (n == UINT64_MAX)
		return 0;
	return recurse(n + 1) + filler.bytes[n % sizeof(filler.bytes)];
}

static int64_t overflow(void)
{
	return recurse(0);
}

static int64_t overflow_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(overflow);
}
CELL_PROVIDE(task_ops, unwind_overflow) = {.run = overflow_run};

/* The deepest frame may have overflowed before or after it was counted. */
static bool all_left(const struct unwind_test *s)
{
	return s->entered > 50 && s->left >= s->entered && s->left <= s->entered + 1;
}

static int stack_overflow(struct test *test)
{
	struct unwind_test *s;

	for (unsigned i = 0; i < 3; i++) {
		s = unwind_test_begin();
		CHECK_FAULTED(test, unwind_overflow, VECTOR_PF);
		TEST_CHECK(test, all_left(s));
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_stack_overflow) = {.run = stack_overflow};

/* What goes on after the overflow uses the whole stack again. */
static int64_t protected_overflow(void *arg)
{
	(void)arg;
	return recurse(0);
}

static int64_t overflow_twice_run(uint64_t arg)
{
	int64_t value;

	(void)arg;
	for (unsigned i = 0; i < 3; i++) {
		if (switch_protect(protected_overflow, NULL, &value) != -EFAULT)
			return -1;
	}
	return 0;
}
CELL_PROVIDE(task_ops, unwind_overflow_twice) = {.run = overflow_twice_run};

static int overflow_again(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_exit exit;

	TEST_CHECK(test, unwind_test_run(IFACE(task_ops, unwind_overflow_twice), &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0 && !exit.by_ledger);
	TEST_CHECK(test, s->left >= s->entered && s->left <= s->entered + 3);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_stack_overflows_again) = {.run = overflow_again};

/* More at once than there is memory for on one CPU: the others wait in a cleanup. */
static void drop_late(const int *unused)
{
	(void)unused;
	unwind_test_reach(1);
	while (__atomic_load_n(&unwind_test_state()->on, __ATOMIC_ACQUIRE))
		task_yield();
}

static int64_t overflow_late_run(uint64_t arg)
{
	int late OWNED(drop_late) = 0;

	(void)arg;
	return recurse(0) + late;
}
CELL_PROVIDE(task_ops, unwind_overflow_late) = {.run = overflow_late_run};

static int overflows_at_once(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct task_ref tasks[3];
	struct task_exit exit;

	for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++)
		TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, unwind_overflow_late), 0,
					    &tasks[i]) == 0);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	__atomic_store_n(&s->on, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ARRAY_SIZE(tasks); i++) {
		TEST_CHECK(test, unwind_test_join(tasks[i], &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_stack_overflows_at_once) = {.run = overflows_at_once};

/* ---- unwinding itself goes wrong ---- */

static void drop_badly(const int *unused)
{
	(void)unused;
	*nowhere() = 1;
}

static int64_t fault_below_bad_cleanup(void)
{
	int bad OWNED(drop_badly) = 0;

	*nowhere() = 1;
	return bad;
}

static int64_t bad_cleanup_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fault_below_bad_cleanup);
}
CELL_PROVIDE(task_ops, unwind_bad_cleanup) = {.run = bad_cleanup_run};

static int in_cleanup(struct test *test)
{
	uint64_t faults = upcall_fault_count();
	struct task_stats before, after;
	struct task_exit exit;

	(void)unwind_test_begin();
	task_stats(&before);
	TEST_CHECK(test, unwind_test_run(IFACE(task_ops, unwind_bad_cleanup), &exit) == 0);
	task_stats(&after);
	TEST_CHECK(test, exit.end == TASK_FAULTED && exit.by_ledger);
	TEST_CHECK(test, upcall_fault_count() == faults + 2);
	TEST_CHECK(test, after.unwind_failures == before.unwind_failures + 1);
	TEST_CHECK(test, after.by_ledger == before.by_ledger + 1);
	TEST_CHECK(test, unwind_test_dropped(0));
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_in_cleanup) = {.run = in_cleanup};

/* A cleanup that protects what it calls goes on behind a fault there. */
static int64_t fault_protected(void *arg)
{
	(void)arg;
	return fault_here();
}

static void drop_protected(const int *unused)
{
	int64_t value;

	(void)unused;
	if (switch_protect(fault_protected, NULL, &value) == -EFAULT)
		unwind_test_state()->left++;
}

static int64_t fault_below_protector(void)
{
	int protector OWNED(drop_protected) = 0;

	*nowhere() = 1;
	return protector;
}

static int64_t protector_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fault_below_protector);
}
CELL_PROVIDE(task_ops, unwind_protector) = {.run = protector_run};

static int in_protected_cleanup(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();

	CHECK_FAULTED(test, unwind_protector, VECTOR_PF);
	TEST_CHECK(test, s->left == 1);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_in_protected_drop) = {.run = in_protected_cleanup};

/* ---- with locks ---- */

/* It stays held by this code: that is the point. */
static NO_THREAD_SAFETY int64_t fault_with_spinlocks(void)
{
	struct unwind_test *s = unwind_test_state();
	struct spinlock own = {0};

	spin_lock(&s->spin);
	spin_lock(&own);
	return fault_here();
}

static int64_t spinlocks_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fault_with_spinlocks);
}
CELL_PROVIDE(task_ops, unwind_spinlocks) = {.run = spinlocks_run};

static int with_spinlocks(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();

	CHECK_FAULTED(test, unwind_spinlocks, VECTOR_PF);
	TEST_CHECK(test, s->spin.held == 0 || s->spin.held % 2 == 0);
	spin_lock(&s->spin);
	spin_unlock(&s->spin);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_with_spinlocks) = {.run = with_spinlocks};

static void give_unit(struct semaphore *const *semaphore)
{
	(void)semaphore_post(*semaphore);
}

static NO_THREAD_SAFETY int64_t fault_with_locks(void)
{
	struct unwind_test *s = unwind_test_state();

	if (mutex_lock(&s->mutex, CLOCK_NEVER) < 0)
		return 1;
	OWNED(mutex_drop) struct mutex *mutex = mutex_held(&s->mutex);

	if (rwlock_write(&s->rwlock, CLOCK_NEVER) < 0)
		return 2;
	OWNED(rwlock_drop) struct rwlock *rwlock = rwlock_write_held(&s->rwlock);

	if (semaphore_wait(&s->semaphore, CLOCK_NEVER) < 0)
		return 3;
	OWNED(give_unit) struct semaphore *unit = &s->semaphore;

	(void)mutex;
	(void)rwlock;
	(void)unit;
	return fault_here();
}

static int64_t locks_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fault_with_locks);
}
CELL_PROVIDE(task_ops, unwind_locks) = {.run = locks_run};

static NO_THREAD_SAFETY int with_locks(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();

	TEST_CHECK(test, semaphore_post(&s->semaphore) == 0);
	CHECK_FAULTED(test, unwind_locks, VECTOR_PF);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == 0);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, rwlock_write(&s->rwlock, 0) == 0);
	rwlock_unlock(&s->rwlock);
	TEST_CHECK(test, semaphore_wait(&s->semaphore, 0) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_fault_with_locks) = {.run = with_locks};
