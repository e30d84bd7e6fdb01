/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <theseus/heap.h>

#include "internal.h"

CELL_EXPORT(task_trim);
CELL_EXPORT(task_next);
CELL_EXPORT(task_describe);
CELL_EXPORT(task_head);
CELL_EXPORT(task_count);
CELL_EXPORT(task_state_name);

/* Differs from task to task and from boot to boot; a low zero byte stops string overruns. */
static uint64_t canary(const struct task *task)
{
	return (__builtin_ia32_rdtsc() * 0x9e3779b97f4a7c15ull ^ (uintptr_t)task) << 8;
}

/*
 * ---- records with a stack, kept for the next task, or until there are some to drop together:
 * mapping one costs far more than a switch, unmapping many hardly more than one ----
 */

#define SPARE_MAX 64u /* a CPU: 1 MiB */
#define WORN_MAX 16u

static struct task *take_spare(struct task_cpu *cpu)
{
	struct task *task;

	spin_lock(&cpu->spare_lock);
	task = cpu->spare;
	if (task) {
		cpu->spare = task->next;
		cpu->n_spare--;
	}
	spin_unlock(&cpu->spare_lock);
	return task;
}

/* Puts @task, which has a stack, into one of the lists. Result: worn ones that are to be dropped. */
static struct task *keep(struct task_cpu *cpu, struct task *task)
{
	bool plain = task->head.stack_end - task->head.stack_start == TASK_STACK_DEFAULT;
	struct task *worn = NULL;

	task->scans = __atomic_load_n(&tasks()->scans, __ATOMIC_RELAXED);
	spin_lock(&cpu->spare_lock);
	if (plain && cpu->n_spare < SPARE_MAX) {
		task->next = cpu->spare;
		cpu->spare = task;
		cpu->n_spare++;
	} else {
		task->next = cpu->worn;
		cpu->worn = task;
		if (++cpu->n_worn == WORN_MAX) {
			worn = TAKE(cpu->worn);
			cpu->n_worn = 0;
		}
	}
	spin_unlock(&cpu->spare_lock);
	return worn;
}

/* Takes either list. */
static struct task *take_all(struct task_cpu *cpu, struct task **list, uint32_t *n)
{
	struct task *tasks;

	spin_lock(&cpu->spare_lock);
	tasks = TAKE(*list);
	*n = 0;
	spin_unlock(&cpu->spare_lock);
	return tasks;
}

static void drop_all(struct task *list)
{
	struct mapped stacks[WORN_MAX];
	unsigned n;

	while (list) {
		for (n = 0; list && n < WORN_MAX; n++) {
			struct task *task = list;

			list = task->next;
			stacks[n] = task->stack;
			heap_free(task);
		}
		mapped_drop_many(stacks, n);
	}
}

/* Whichever CPU this is: the cache is only nearer if it stays the same. */
static struct task_cpu *near_cpu(void)
{
	uint32_t cpu;

	upcall_mask();
	cpu = percpu_cpu();
	upcall_unmask();
	return &tasks()->cpus[cpu];
}

void task_trim(void)
{
	LEDGER_WHOLE();

	for (unsigned i = 0; i < cpu_count(); i++) {
		struct task_cpu *cpu = &tasks()->cpus[i];

		drop_all(take_all(cpu, &cpu->spare, &cpu->n_spare));
		drop_all(take_all(cpu, &cpu->worn, &cpu->n_worn));
	}
}

static int create_stack(size_t bytes, struct task *task)
{
	struct mapped_info info;
	int r = mapped_create(MAPPED_STACK, bytes, &task->stack);

	if (r >= 0)
		r = mapped_info(task->stack, &info);
	if (r < 0)
		return r;
	task->head.stack_start = info.start.v;
	task->head.stack_end = info.start.v + info.bytes;
	return 0;
}

/* A zeroed record with a stack, if it is to have one. */
static int create_raw(size_t stack_bytes, struct task **ret_task)
{
	struct task *task = heap_alloc(CELL_SELF, sizeof(*task));
	int r = 0;

	if (!task)
		return -ENOMEM;
	memset(task, 0, sizeof(*task));
	if (stack_bytes)
		r = create_stack(stack_bytes, task);
	if (r < 0) {
		mapped_drop(&task->stack);
		heap_free(task);
		return r;
	}
	*ret_task = task;
	return 0;
}

/*
 * As it was created, but for what is on the stack: that stays, unless code was replaced since. Words
 * that point there would be found between the variables of the next task, and keep it mapped.
 */
static void wipe(struct task *task)
{
	struct task_head head = task->head;
	struct mapped stack = task->stack;

	if (task->scans != __atomic_load_n(&tasks()->scans, __ATOMIC_RELAXED))
		memset((void *)(uintptr_t)head.stack_start, 0, head.stack_end - head.stack_start);
	memset(task, 0, sizeof(*task));
	task->head.stack_start = head.stack_start;
	task->head.stack_end = head.stack_end;
	task->stack = stack;
}

int record_create(const char *name, size_t stack_bytes, struct task **ret_task)
{
	struct task *task = NULL;
	int r;

	if (stack_bytes == TASK_STACK_DEFAULT)
		task = take_spare(near_cpu());
	if (task) {
		wipe(task);
	} else {
		r = create_raw(stack_bytes, &task);
		if (r == -ENOMEM) {
			task_trim();
			r = create_raw(stack_bytes, &task);
		}
		if (r < 0)
			return r;
	}
	memcpy(task->head.name, name, strnlen(name, TASK_NAME_MAX - 1));
	task->state = TASK_INITING;
	task->affinity = TASK_ANY_CPU;
	task->tls.self = (uintptr_t)&task->tls;
	task->tls.canary = canary(task);
	*ret_task = task;
	return 0;
}

void record_free(struct task *task)
{
	if (task->stack.generation)
		drop_all(keep(near_cpu(), task));
	else
		heap_free(task);
}

/*
 * One more chunk of slots, unless there are free ones again. Chunks stay for good, so they
 * are accounted to nobody: they are no leak of whoever needed them first.
 */
static int add_chunk(void)
{
	struct tasks *t = tasks();
	struct task_chunk *chunk;
	uint32_t first = t->n_slots;
	int r;

	if (first == TASKS_MAX)
		return -EAGAIN;
	r = run_reserve(first + CHUNK_SLOTS);
	if (r < 0)
		return r;
	chunk = heap_alloc((struct cell_ref){0}, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, sizeof(*chunk));
	for (uint32_t i = 0; i + 1 < CHUNK_SLOTS; i++)
		chunk->next_free[i] = first + i + 2;
	spin_lock(&t->lock);
	__atomic_store_n(&t->chunks[first / CHUNK_SLOTS], chunk, __ATOMIC_RELEASE);
	__atomic_store_n(&t->n_slots, first + CHUNK_SLOTS, __ATOMIC_RELEASE);
	if (t->last_free) /* some came back meanwhile */
		t->chunks[(t->last_free - 1) / CHUNK_SLOTS]
			->next_free[(t->last_free - 1) % CHUNK_SLOTS] = first + 1;
	else
		t->first_free = first + 1;
	t->last_free = first + CHUNK_SLOTS;
	spin_unlock(&t->lock);
	return 0;
}

static bool take_slot(struct tasks *t, struct task *task)
{
	uint32_t slot = t->first_free - 1, i = slot % CHUNK_SLOTS;
	struct task_chunk *chunk;

	if (!t->first_free)
		return false;
	chunk = t->chunks[slot / CHUNK_SLOTS];
	t->first_free = chunk->next_free[i];
	if (!t->first_free)
		t->last_free = 0;
	if (++chunk->generations[i] == 0)
		chunk->generations[i] = 1;
	task->slot = slot;
	task->generation = chunk->generations[i];
	task->head.id = task_id((struct task_ref){slot, task->generation});
	chunk->tasks[i] = task;
	t->n++;
	return true;
}

static void give_slot(struct tasks *t, uint32_t slot)
{
	struct task_chunk *chunk = t->chunks[slot / CHUNK_SLOTS];
	uint32_t last = t->last_free - 1;

	chunk->tasks[slot % CHUNK_SLOTS] = NULL;
	chunk->next_free[slot % CHUNK_SLOTS] = 0;
	if (t->last_free)
		t->chunks[last / CHUNK_SLOTS]->next_free[last % CHUNK_SLOTS] = slot + 1;
	else
		t->first_free = slot + 1;
	t->last_free = slot + 1;
	t->n--;
}

static bool enter(struct task *task)
{
	struct tasks *t = tasks();
	bool taken;

	spin_lock(&t->lock);
	taken = take_slot(t, task);
	spin_unlock(&t->lock);
	return taken;
}

int record_enter(struct task *task)
{
	struct tasks *t = tasks();
	int r = 0;

	if (enter(task))
		return 0;
	spin_lock(&t->grow);
	while (r >= 0 && !enter(task))
		r = add_chunk();
	spin_unlock(&t->grow);
	return r;
}

struct task *record_find(struct task_ref ref)
{
	struct task *task = ref.slot < __atomic_load_n(&tasks()->n_slots, __ATOMIC_ACQUIRE)
				    ? task_in(ref.slot)
				    : NULL;

	return task && task->generation == ref.generation ? task : NULL;
}

void record_reap(struct task *task)
{
	struct tasks *t = tasks();

	while (__atomic_load_n(&task->ctx.running, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	spin_lock(&t->lock);
	give_slot(t, task->slot);
	spin_unlock(&t->lock);
	record_free(task);
}

void record_reap_detached(void)
{
	LEDGER_WHOLE();
	struct tasks *t = tasks();
	struct task *task;

	while (__atomic_load_n(&t->reap, __ATOMIC_RELAXED)) {
		spin_lock(&t->lock);
		task = t->reap;
		if (task)
			t->reap = task->next;
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
		.priority = task->priority,
		.restarts = task->restarts,
		.owner = task->owner,
		.cpu_time_ns = task->cpu_time_ns + (running && now > since ? now - since : 0),
		.switches = task->switches,
		.stack_start = task->head.stack_start,
		.stack_bytes = task->head.stack_end - task->head.stack_start,
		.stack_used = running ? 0 : task->head.stack_end - task->ctx.rsp,
	};
	memcpy(ret_info->name, task->head.name, sizeof(ret_info->name));
}

int task_next(uint32_t *cursor, struct task_info *ret_info)
{
	struct tasks *t = tasks();
	const struct task *task = NULL;

	spin_lock(&t->lock);
	while (!task && *cursor < t->n_slots)
		task = task_in((*cursor)++);
	if (task)
		describe(task, ret_info);
	spin_unlock(&t->lock);
	return task ? 0 : -ENOENT;
}

int task_describe(struct task_ref ref, struct task_info *ret_info)
{
	struct tasks *t = tasks();
	const struct task *task;

	spin_lock(&t->lock);
	task = record_find(ref);
	if (task)
		describe(task, ret_info);
	spin_unlock(&t->lock);
	return task ? 0 : -ESTALE;
}

struct task_head *task_head(uint64_t id)
{
	struct task_ref ref = {.slot = (uint32_t)id, .generation = (uint32_t)(id >> 32)};
	struct tasks *t = tasks();
	struct task *task;

	spin_lock(&t->lock);
	task = record_find(ref);
	spin_unlock(&t->lock);
	return task ? &task->head : NULL;
}
