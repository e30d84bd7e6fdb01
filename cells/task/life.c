/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "internal.h"

CELL_EXPORT_BLOCKING(task_join);
CELL_EXPORT(task_exit);
CELL_EXPORT(task_self);
CELL_EXPORT(task_killed);
CELL_EXPORT(task_kill_point);
CELL_EXPORT(task_stats);
CELL_CONSUMES(task_ops);

struct task_ref task_self(void)
{
	const struct task *task = current();

	return task ? (struct task_ref){task->slot, task->generation} : (struct task_ref){0, 0};
}

bool task_killed(void)
{
	return __atomic_load_n(&current()->killed, __ATOMIC_RELAXED) != KILL_NONE;
}

/* Unwinds, and ends at the bottom; whatever protects in between sees -ECANCELED. */
static __attribute__((noreturn)) void leave(enum task_end end, int64_t value)
{
	struct task *task = current();

	task->ending = end;
	task->exit.value = value;
	if (!percpu_read(landing))
		life_end(end, value, 0); /* `boot`, which nothing protects */
	upcall_end(0);
}

bool life_cancelled(const struct task *task)
{
	return (__atomic_load_n(&task->killed, __ATOMIC_SEQ_CST) != KILL_NONE || task->ending) &&
	       !task->over && !upcall_unwinding();
}

int life_kill_point(void)
{
	struct task *task = current();

	if (!life_cancelled(task))
		return 0;
	if (task->ending)
		leave(task->ending, task->exit.value);
	if (task->killed == KILL_TOLD)
		leave(TASK_KILLED, 0);
	__atomic_store_n(&task->killed, KILL_TOLD, __ATOMIC_RELAXED);
	return -ECANCELED;
}

bool task_kill_point(void)
{
	return life_kill_point() < 0;
}

void task_stats(struct task_stats *ret_stats)
{
	struct upcall_unwinds unwinds;

	upcall_unwinds(&unwinds);
	*ret_stats = (struct task_stats){
		.unwound = unwinds.done,
		.unwind_failures = unwinds.failed,
		.by_ledger = __atomic_load_n(&tasks()->by_ledger, __ATOMIC_RELAXED),
	};
}

/* ---- from the first instruction to the last ---- */

void life_publish(struct task *task, struct task_exit exit)
{
	struct tasks *t = tasks();

	task->exit = exit;
	spin_lock(&t->lock);
	kill_forget(task);
	__atomic_store_n(&task->state, TASK_EXITED, __ATOMIC_RELEASE);
	if (task->detached) {
		task->next = t->reap;
		t->reap = task;
	}
	/* before anybody can take it away: the reaper, unlike the task itself, does not keep it */
	task_event_signal(&task->exited);
	spin_unlock(&t->lock);
}

void life_end(enum task_end end, int64_t value, uint64_t fault)
{
	struct task *task = current();
	struct task_exit exit = {.end = end, .value = value, .fault = fault};

	task->over = true;
	upcall_stack_restore(&task->head);
	local_drop_all(task);
	ledger_task_ended(task->head.id);
	exit.by_ledger = task->head.unwind_failures > 0;
	if (exit.by_ledger)
		__atomic_add_fetch(&tasks()->by_ledger, 1, __ATOMIC_RELAXED);
	upcall_mask();
	life_publish(task, exit);
	run_blocked();
	upcall_crash("a task that ended runs");
}

void task_exit(int64_t value)
{
	lock_order_task_ends();
	leave(TASK_COMPLETED, value);
}

static int64_t run_once(void *arg)
{
	const struct task *task = arg;
	const struct task_ops *ops;
	int64_t value;

	if (task->idle)
		return run_idle();
	ops = task_ops_get(task->entry);
	if (!ops)
		leave(TASK_KILLED, 0);
	value = ops->run(task->arg);
	if (value != TASK_AGAIN)
		lock_order_task_ends();
	return value;
}

/*
 * After a fault: does the task's policy let it begin again? Then what it held was given back
 * as at its end, and it has waited.
 */
static bool restart(struct task *task)
{
	if (task->restarts == task->restarts_max || task->ending || task_killed())
		return false;
	task->over = true;
	upcall_stack_restore(&task->head);
	local_drop_all(task);
	ledger_task_ended(task->head.id);
	task->over = false;
	task->head.unwind_failures = 0;
	if (task_sleep_until(clock_after(task->backoff_ns)) < 0)
		life_end(TASK_KILLED, 0, 0);
	task->backoff_ns *= 2;
	if (task->backoff_ns > TASK_BACKOFF_MAX_NS)
		task->backoff_ns = TASK_BACKOFF_MAX_NS;
	__atomic_store_n(&task->restarts, task->restarts + 1, __ATOMIC_RELAXED);
	return true;
}

#define CLEAN_BYTES 4096u

/*
 * Zeroes the stack below: nothing of earlier calls is left for those to come to carry along.
 * Needs a stack of the default size.
 */
static __attribute__((noinline)) void clean_stack(void)
{
	volatile uint64_t below[CLEAN_BYTES / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		below[i] = 0;
}

/* Called again and again from the bottom of the task's stack, through the slot. */
static void bottom(uint64_t arg)
{
	struct task *task = (struct task *)(uintptr_t)arg;
	int64_t value;
	int r;

	if (!task->started) {
		task->started = true;
		if (task->idle)
			run_new_cpu();
		upcall_unmask(); /* a new task begins where switch_to() left: at depth 1 */
		if (!task->idle && task_killed())
			life_end(TASK_KILLED, 0, 0);
	}
	if (task->unclean && task->head.stack_end - task->head.stack_start >= TASK_STACK_DEFAULT)
		clean_stack();
	task->unclean = false;
	r = switch_protect(run_once, task, &value);
	task->head.whole = 0; /* an unwinding that was given up may have left some behind */
	if (r == -EFAULT)
		upcall_fault_report((uint64_t)value);
	if (task->idle)
		return;
	if (r == -EFAULT && restart(task))
		return;
	if (r == -EFAULT)
		life_end(TASK_FAULTED, 0, (uint64_t)value);
	if (task->ending)
		life_end(task->ending, task->exit.value, 0);
	if (value != TASK_AGAIN)
		life_end(TASK_COMPLETED, value, 0);
	if (task_killed())
		life_end(TASK_KILLED, 0, 0);
	record_reap_detached(); /* a system that is never idle reaps too */
}
CELL_PROVIDE(bottom_ops, task) = {.bottom = bottom};

/*
 * Stacks lie at like offsets in their pages, and what a switch touches lies at the top: for
 * thousands of tasks that would all be in a few sets of the caches. So tops differ by lines.
 */
#define TOPS 16u
#define TOP_LINE 64u

static uint64_t stack_top(const struct task *task)
{
	uint64_t page = task->head.stack_start / PAGE_SIZE;

	return task->head.stack_end - (page * 0x9e3779b97f4a7c15ull >> 32) % TOPS * TOP_LINE;
}

void life_prepare(struct task *task)
{
	task->started = false;
	switch_prepare(&task->ctx, stack_top(task), (uintptr_t)&task->tls,
		       &__slot_bottom_ops__task, (uintptr_t)task);
}

/* ---- asked for by others ---- */

/* A joiner that was ended while it waited does not wait any more. */
static bool is_joined(const struct task *task)
{
	const struct task *joiner = record_find(
		(struct task_ref){(uint32_t)task->joiner, (uint32_t)(task->joiner >> 32)});

	return joiner && joiner != current() &&
	       __atomic_load_n(&joiner->state, __ATOMIC_RELAXED) < TASK_EXITED;
}

int life_claim(struct task_ref ref, struct task **ret_task)
{
	struct task *task = record_find(ref);

	if (!task || __atomic_load_n(&task->state, __ATOMIC_RELAXED) == TASK_REAPED)
		return -ESTALE;
	if (task->detached)
		return -EINVAL;
	if (is_joined(task))
		return -EBUSY;
	*ret_task = task;
	if (__atomic_load_n(&task->state, __ATOMIC_ACQUIRE) != TASK_EXITED)
		return 0;
	__atomic_store_n(&task->state, TASK_REAPED, __ATOMIC_RELAXED);
	return 1;
}

/* One step of joining, under the table's lock: as life_claim(), with 0 until *ret_seen passes. */
static int join_try(struct task_ref ref, struct task **ret_task, uint64_t *ret_seen)
{
	int r = life_claim(ref, ret_task);

	if (r == 0) {
		*ret_seen = task_event_count(&(*ret_task)->exited);
		(*ret_task)->joiner = current()->head.id; /* so nobody else reaps it under us */
	}
	return r;
}

int task_join(struct task_ref ref, uint64_t deadline_ns, struct task_exit *ret_exit)
{
	LEDGER_WHOLE();
	struct tasks *t = tasks();
	struct task *task = NULL;
	uint64_t seen = 0;
	int r;

	if (task_id(ref) == current()->head.id)
		return -EDEADLK;
	for (;;) {
		spin_lock(&t->lock);
		r = join_try(ref, &task, &seen);
		spin_unlock(&t->lock);
		if (r != 0)
			break;
		r = task_event_wait(&task->exited, seen, deadline_ns);
		spin_lock(&t->lock);
		task->joiner = 0;
		spin_unlock(&t->lock);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	*ret_exit = task->exit;
	record_reap(task);
	return 0;
}
