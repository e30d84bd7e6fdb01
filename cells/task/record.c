/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <theseus/heap.h>

#include "internal.h"

CELL_EXPORT(task_at);
CELL_EXPORT(task_count);
CELL_EXPORT(task_state_name);

/* Differs from task to task and from boot to boot; a low zero byte stops string overruns. */
static uint64_t canary(const struct task *task)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (((uint64_t)hi << 32 | lo) * 0x9e3779b97f4a7c15ull ^ (uintptr_t)task) << 8;
}

int record_create(const char *name, size_t stack_bytes, struct task **ret_task)
{
	struct mapped_info info;
	struct task *task;
	size_t n;
	int r;

	task = heap_alloc(CELL_SELF, sizeof(*task));
	if (!task)
		return -ENOMEM;
	memset(task, 0, sizeof(*task));
	if (stack_bytes) {
		r = mapped_create(MAPPED_STACK, stack_bytes, &task->stack);
		if (r >= 0)
			r = mapped_info(task->stack, &info);
		if (r < 0) {
			record_free(task);
			return r;
		}
		task->head.stack_start = info.start.v;
		task->head.stack_end = info.start.v + info.bytes;
	}
	n = strnlen(name, TASK_NAME_MAX - 1);
	memcpy(task->head.name, name, n);
	task->state = TASK_INITING;
	task->affinity = TASK_ANY_CPU;
	task->tls.self = (uintptr_t)&task->tls;
	task->tls.canary = canary(task);
	*ret_task = task;
	return 0;
}

void record_free(struct task *task)
{
	mapped_drop(&task->stack);
	heap_free(task);
}

int record_enter(struct task *task)
{
	struct tasks *t = tasks();
	int r = -EAGAIN;

	spin_lock(&t->lock);
	for (uint32_t i = 0; i < TASKS_MAX; i++) {
		if (t->slots[i])
			continue;
		if (++t->generations[i] == 0)
			t->generations[i] = 1;
		task->slot = i;
		task->generation = t->generations[i];
		task->head.id = task_id((struct task_ref){i, task->generation});
		t->slots[i] = task;
		t->n++;
		r = 0;
		break;
	}
	spin_unlock(&t->lock);
	return r;
}

struct task *record_find(struct task_ref ref)
{
	struct task *task = ref.slot < TASKS_MAX ? tasks()->slots[ref.slot] : NULL;

	return task && task->generation == ref.generation ? task : NULL;
}

void record_reap(struct task *task)
{
	struct tasks *t = tasks();

	while (__atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	spin_lock(&t->lock);
	t->slots[task->slot] = NULL;
	t->n--;
	spin_unlock(&t->lock);
	record_free(task);
}

void record_reap_detached(void)
{
	struct tasks *t = tasks();
	struct task *task;

	while (__atomic_load_n(&t->reap, __ATOMIC_RELAXED)) {
		spin_lock(&t->lock);
		task = t->reap;
		if (task)
			t->reap = task->reap_next;
		spin_unlock(&t->lock);
		if (task)
			record_reap(task);
	}
}

unsigned task_count(void)
{
	return __atomic_load_n(&tasks()->n, __ATOMIC_RELAXED);
}

const char *task_state_name(enum task_state state)
{
	switch (state) {
	case TASK_INITING:
		return "initing";
	case TASK_RUNNABLE:
		return "runnable";
	case TASK_BLOCKED:
		return "blocked";
	case TASK_EXITED:
		return "exited";
	case TASK_REAPED:
		return "reaped";
	}
	return "?";
}

static void describe(const struct task *task, struct task_info *ret_info)
{
	uint32_t running = __atomic_load_n(&task->ctx.running, __ATOMIC_RELAXED);
	uint64_t now = clock_now_ns(), since = tasks()->cpus[task->cpu].since_ns;

	*ret_info = (struct task_info){
		.task = {task->slot, task->generation},
		.state = (enum task_state)__atomic_load_n(&task->state, __ATOMIC_RELAXED),
		.running = running,
		.cpu = task->cpu,
		.affinity = task->affinity,
		.owner = task->owner,
		.cpu_time_ns = task->cpu_time_ns + (running && now > since ? now - since : 0),
		.switches = task->switches,
		.stack_start = task->head.stack_start,
		.stack_bytes = task->head.stack_end - task->head.stack_start,
		.stack_used = running ? 0 : task->head.stack_end - task->ctx.rsp,
	};
	memcpy(ret_info->name, task->head.name, sizeof(ret_info->name));
}

int task_at(uint32_t index, struct task_info *ret_info)
{
	struct tasks *t = tasks();
	int r = -ENOENT;

	spin_lock(&t->lock);
	for (uint32_t i = 0; i < TASKS_MAX; i++) {
		if (!t->slots[i] || index-- != 0)
			continue;
		describe(t->slots[i], ret_info);
		r = 0;
		break;
	}
	spin_unlock(&t->lock);
	return r;
}
