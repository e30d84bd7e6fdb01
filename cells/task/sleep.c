/* SPDX-License-Identifier: MIT */
#include "internal.h"

CELL_EXPORT(task_event_signal);
CELL_EXPORT(task_event_signal_one);
CELL_EXPORT(task_event_wait);
CELL_EXPORT_BLOCKING(task_sleep_until);

bool sleep_end(struct task *task, int result)
{
	if (!wait_end(&task->wait, result))
		return false;
	run_wake(task, SCHED_WAKE);
	return true;
}

/* So many at once: the rest in the next interrupt, so that this one stays short. */
#define EXPIRE_MANY 256u

uint64_t sleep_expire(struct task_cpu *cpu, uint64_t now_ns)
{
	struct timer *timer;
	struct task *task;
	uint64_t next;

	spin_lock(&cpu->timer_lock);
	for (unsigned i = 0; i < EXPIRE_MANY; i++) {
		timer = timer_expired(&cpu->timers, now_ns);
		if (!timer)
			break;
		task = (struct task *)(void *)((char *)timer - offsetof(struct task, wait.timer));
		(void)sleep_end(task, -ETIMEDOUT);
	}
	next = timer_next(&cpu->timers);
	spin_unlock(&cpu->timer_lock);
	return next;
}

/* ---- who waits for an event; under the event's lock ---- */

static struct wait *wait_of(uint32_t slot)
{
	return &task_in(slot)->wait;
}

static struct waiters waiters(struct task_event *event)
{
	return (struct waiters){&event->first, &event->last, wait_of};
}

/* Ends the first wait; one that something else has ended does not count. */
static bool wake_first(struct task_event *event)
{
	uint32_t slot;
	bool ended = waiters_end_first(waiters(event), 0, &slot);

	if (ended)
		run_wake(task_in(slot), SCHED_WAKE);
	return ended;
}

void task_event_signal(struct task_event *event)
{
	spin_lock(&event->lock);
	__atomic_store_n(&event->count, event->count + 1, __ATOMIC_RELEASE);
	while (event->first)
		(void)wake_first(event);
	spin_unlock(&event->lock);
}

bool task_event_signal_one(struct task_event *event)
{
	bool woken = false;

	spin_lock(&event->lock);
	__atomic_store_n(&event->count, event->count + 1, __ATOMIC_RELEASE);
	while (event->first && !woken)
		woken = wake_first(event);
	spin_unlock(&event->lock);
	return woken;
}

/* Links @task to @event unless it was signalled; the wait has begun then. */
static bool link_to(struct task_event *event, uint64_t seen, struct task *task)
{
	bool wait;

	spin_lock(&event->lock);
	wait = event->count <= seen;
	if (wait) {
		task->wait.event = event;
		waiters_append(waiters(event), task->slot);
		__atomic_store_n(&task->state, TASK_BLOCKED, __ATOMIC_RELAXED);
		wait_begin(&task->wait);
	}
	spin_unlock(&event->lock);
	return wait;
}

static void unlink_from(struct task_event *event, struct task *task)
{
	if (!__atomic_load_n(&task->wait.linked, __ATOMIC_ACQUIRE))
		return;
	spin_lock(&event->lock);
	if (task->wait.linked)
		waiters_remove(waiters(event), &task->wait);
	spin_unlock(&event->lock);
}

static void set_timer(struct task *task, uint64_t deadline_ns)
{
	struct task_cpu *cpu = &tasks()->cpus[percpu_cpu()];

	spin_lock(&cpu->timer_lock);
	task->wait.timer_cpu = cpu->cpu;
	timer_add(&cpu->timers, &task->wait.timer, deadline_ns);
	spin_unlock(&cpu->timer_lock);
	run_arm(cpu, deadline_ns);
}

static void clear_timer(struct task *task)
{
	struct task_cpu *cpu = &tasks()->cpus[task->wait.timer_cpu];

	spin_lock(&cpu->timer_lock);
	timer_remove(&cpu->timers, &task->wait.timer);
	spin_unlock(&cpu->timer_lock);
}

int task_event_wait(struct task_event *event, uint64_t seen, uint64_t deadline_ns)
{
	struct task *task = current();
	int r;

	STACK_ROOM(STACK_ROOM_MASKED);
	lock_order_may_block(LOCK_PLACE);
	r = life_kill_point();
	if (r < 0)
		return r;
	if (task_event_count(event) > seen)
		return 0;
	if (deadline_ns != CLOCK_NEVER && deadline_ns <= clock_now_ns())
		return -ETIMEDOUT;
	upcall_mask();
	if (link_to(event, seen, task)) {
		/* a kill before this was not seen by the wait, one after it ends it */
		if (life_cancelled(task))
			(void)sleep_end(task, -ECANCELED);
		if (deadline_ns != CLOCK_NEVER)
			set_timer(task, deadline_ns);
		run_blocked();
		unlink_from(event, task);
		if (deadline_ns != CLOCK_NEVER)
			clear_timer(task);
		r = wait_take(&task->wait);
	}
	upcall_unmask();
	return r == -ECANCELED ? life_kill_point() : r;
}

int task_sleep_until(uint64_t deadline_ns)
{
	struct task_event never = {.count = 0};
	int r = task_event_wait(&never, 0, deadline_ns);

	return r == -ETIMEDOUT ? 0 : r;
}
