/* SPDX-License-Identifier: MIT */
/* Tasks that come to no kill point: the ledger ends them, without their cleanups. */
#include <theseus/mapped.h>

#include "test.h"

static const struct task_attr short_grace = {.grace_ns = 20 * CLOCK_MS};

/* Kills @task and checks that the ledger ended it, once. */
#define CHECK_BY_LEDGER(test, task)                                                                \
	do {                                                                                       \
		struct task_stats before_, after_;                                                 \
		struct task_exit exit_;                                                            \
		task_stats(&before_);                                                              \
		TEST_CHECK(test, task_kill(task) == 0);                                            \
		TEST_CHECK(test, unwind_test_join((task), &exit_) == 0);                           \
		task_stats(&after_);                                                               \
		TEST_CHECK(test, exit_.end == TASK_KILLED);                                        \
		TEST_CHECK(test, exit_.by_ledger);                                                 \
		TEST_CHECK(test, after_.by_ledger == before_.by_ledger + 1);                       \
		TEST_CHECK(test, unwind_test_dropped(0));                                          \
	} while (0)

#define SPAWN(test, attr, name, ret_task)                                                          \
	TEST_CHECK(test, task_spawn((attr), IFACE(task_ops, name), 0, (ret_task)) == 0)

static int64_t spin_for_ever(void)
{
	struct unwind_test *s = unwind_test_state();

	unwind_test_reach(1);
	while (__atomic_load_n(&s->on, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	return 0;
}

static int64_t spin_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(spin_for_ever);
}
CELL_PROVIDE(task_ops, unwind_spins) = {.run = spin_run};

static int kill_spinning(struct test *test)
{
	struct task_ref task;

	for (unsigned i = 0; i < 3; i++) {
		(void)unwind_test_begin();
		SPAWN(test, &short_grace, unwind_spins, &task);
		TEST_CHECK(test, unwind_test_await(1) == 0);
		CHECK_BY_LEDGER(test, task);
	}
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_never_polling) = {.run = kill_spinning};

/* On another CPU, where nothing else would interrupt it. */
static int kill_elsewhere(struct test *test)
{
	struct task_attr attr = {.affinity = 2, .grace_ns = 20 * CLOCK_MS};
	struct task_ref task;
	int r;

	(void)unwind_test_begin();
	r = task_spawn(&attr, IFACE(task_ops, unwind_spins), 0, &task);
	if (r == -EINVAL)
		TEST_SKIP(test, "one CPU");
	TEST_CHECK(test, r == 0);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	CHECK_BY_LEDGER(test, task);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_on_other_cpu) = {.run = kill_elsewhere};

/* What it holds is given back all the same. */
static NO_THREAD_SAFETY int64_t hold_and_spin(void)
{
	struct unwind_test *s = unwind_test_state();

	if (mutex_lock(&s->mutex, CLOCK_NEVER) < 0 || rwlock_read(&s->rwlock, CLOCK_NEVER) < 0 ||
	    mapped_create(MAPPED_DATA, 3 * PAGE_SIZE, &s->region) < 0 ||
	    mapped_bind(s->region, task_id(task_self())) < 0)
		return 1;
	return spin_for_ever();
}

static int64_t holder_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(hold_and_spin);
}
CELL_PROVIDE(task_ops, unwind_holds) = {.run = holder_run};

static NO_THREAD_SAFETY int kill_holding(struct test *test)
{
	struct unwind_test *s = unwind_test_begin();
	struct mapped_info info;
	struct task_ref task;

	SPAWN(test, &short_grace, unwind_holds, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	CHECK_BY_LEDGER(test, task);
	TEST_CHECK(test, mapped_info(s->region, &info) == -ESTALE);
	TEST_CHECK(test, mutex_lock(&s->mutex, 0) == LOCK_ABANDONED);
	mutex_unlock(&s->mutex);
	TEST_CHECK(test, rwlock_write(&s->rwlock, 0) >= 0);
	rwlock_unlock(&s->rwlock);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_ledger_gives_back) = {.run = kill_holding};

/* A cleanup that never ends: unwinding had begun, and is cut. */
static void drop_never(const int *unused)
{
	(void)unused;
	(void)spin_for_ever();
}

static int64_t fall_into_it(void)
{
	int never OWNED(drop_never) = 0;

	task_exit(never);
}

static int64_t endless_run(uint64_t arg)
{
	(void)arg;
	return unwind_test_descend(fall_into_it);
}
CELL_PROVIDE(task_ops, unwind_ends_never) = {.run = endless_run};

static int kill_unwinding(struct test *test)
{
	struct task_ref task;

	(void)unwind_test_begin();
	SPAWN(test, &short_grace, unwind_ends_never, &task);
	TEST_CHECK(test, unwind_test_await(1) == 0);
	CHECK_BY_LEDGER(test, task);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, unwind_kill_endless_cleanup) = {.run = kill_unwinding};
