/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <theseus/gate-call.h>
#include <theseus/loader.h>
#include <theseus/notice.h>

#include "internal.h"

CELL_INFO(.name = "task", .version = "1.0.0", .summary = "tasks on every CPU",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "prepares stacks, switches between them, starts CPUs, scans what they "
			   "left in registers",
	  .grants = GATE_GRANT_CPU | GATE_GRANT_SCHED);

CELL_EXPORT(task_start);
CELL_CONSUMES(sched_ops);
CELL_CONSUMES(notice_ops);

CELL_STATE(struct tasks, task_table) = {.n = 0};

#define SCHED_DEFAULT "rr"
#define IDLE_STACK_BYTES 8192
#define CPU_LIMIT_NS (2 * CLOCK_S) /* for a CPU that has started to come to its idle task */
#define NOTICE_WARNING 1           /* LOG_WARNING of a cell that comes later */

struct tasks *tasks(void)
{
	return &task_table;
}

static void warn(const char *text)
{
	const struct notice_ops *ops;
	struct notice_ops_h log;

	if (iface_find("notice_ops", "log", &log.h) < 0)
		return;
	ops = notice_ops_get(log);
	if (ops)
		ops->notice(NOTICE_WARNING, CELL_SELF, text);
}

/* Value of @key in the boot command line, cut to @size; "" when it is not there. */
static void boot_option(const char *key, char *ret_value, size_t size)
{
	const struct boot_record *record = boot_record();
	const char *at = record->cmdline;
	size_t len = strlen(key), n = 0;

	ret_value[0] = '\0';
	while (*at) {
		if (strncmp(at, key, len) == 0 && at[len] == '=') {
			at += len + 1;
			while (n < size - 1 && at[n] && at[n] != ' ') {
				ret_value[n] = at[n];
				n++;
			}
			ret_value[n] = '\0';
			return;
		}
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
}

static int choose_scheduler(void)
{
	char name[CELL_NAME_MAX], text[80];
	const struct sched_ops *ops;

	boot_option("sched", name, sizeof(name));
	if (name[0] && iface_find("sched_ops", name, &task_table.sched.h) < 0) {
		snprintf(text, sizeof(text), "no scheduler is called %s, taking " SCHED_DEFAULT,
			 name);
		warn(text);
		name[0] = '\0';
	}
	if (!name[0] && iface_find("sched_ops", SCHED_DEFAULT, &task_table.sched.h) < 0)
		return -ENOENT;
	ops = sched_ops_get(task_table.sched);
	return ops ? ops->start(cpu_count()) : -ENOENT;
}

static int create_idle(unsigned cpu)
{
	struct task *task = NULL;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "idle/%u", cpu);
	r = record_create(name, IDLE_STACK_BYTES, &task);
	if (r < 0)
		return r;
	task->idle = true;
	task->cpu = cpu;
	task->affinity = 1ull << cpu;
	task->head.id = 1ull << 63 | cpu; /* of no slot */
	task->state = TASK_RUNNABLE;
	life_prepare(task);
	task_table.cpus[cpu].idle = task;
	return 0;
}

/* The calling context becomes a task like any other, only that its stack is not ours. */
static int adopt_boot(uint64_t stack_start, uint64_t stack_end, struct task_ref *ret_boot)
{
	struct task *task = NULL;
	int r = record_create("boot", 0, &task);

	if (r >= 0)
		r = record_enter(task);
	if (r < 0)
		return r;
	task->head.stack_start = stack_start;
	task->head.stack_end = stack_end;
	task->state = TASK_RUNNABLE;
	task->started = true;
	task->affinity = TASK_ANY_CPU;
	task->owner = CELL_SELF;
	task->ctx.running = 1;
	task->ctx.fs_base = (uintptr_t)&task->tls;
	__asm__ volatile("wrfsbase %0" ::"r"((uint64_t)(uintptr_t)&task->tls));
	percpu_write(task, &task->head);
	task_table.cpus[percpu_cpu()].since_ns = clock_now_ns();
	task_table.cpus[percpu_cpu()].online = true; /* since the upcall cell's init */
	*ret_boot = (struct task_ref){task->slot, task->generation};
	return 0;
}

static int start_cpu(unsigned cpu)
{
	struct percpu *percpu = percpu_of(cpu);
	struct task *idle;
	uint64_t limit;
	int r;

	r = cpu_prepare(cpu);
	if (r >= 0)
		r = create_idle(cpu);
	if (r < 0)
		return r;
	idle = task_table.cpus[cpu].idle;
	idle->ctx.running = 1;
	percpu->task = &idle->head;
	percpu->scratch = (uintptr_t)&idle->ctx;
	task_table.cpus[cpu].since_ns = clock_now_ns();
	clock_sync_point();
	r = (int)gate_cpu_start(cpu, (uintptr_t)switch_cpu_entry, idle->ctx.rsp);
	if (r < 0) {
		percpu->task = NULL;
		task_table.cpus[cpu].idle = NULL;
		record_free(idle);
	}
	/* it runs; what is started next shall find it */
	limit = clock_after(CPU_LIMIT_NS);
	while (r >= 0 && !(cpu_online_mask() >> cpu & 1)) {
		if (clock_now_ns() > limit)
			r = -ETIMEDOUT;
		__builtin_ia32_pause();
	}
	clock_sync_point();
	return r;
}

int task_start(uint64_t stack_start, uint64_t stack_end, struct task_ref *ret_boot)
{
	char text[80];
	int r;

	if (task_table.started)
		return -EALREADY;
	task_table.started = 1;
	r = choose_scheduler();
	if (r >= 0)
		r = create_idle(percpu_cpu());
	if (r >= 0)
		r = adopt_boot(stack_start, stack_end, ret_boot);
	if (r < 0)
		return r;
	upcall_unmask();
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
		if (task_table.cpus[cpu].idle)
			continue;
		r = start_cpu(cpu);
		if (r < 0) {
			snprintf(text, sizeof(text), "CPU %u does not start: error %d", cpu, -r);
			warn(text);
		}
	}
	return kill_start();
}

static int task_init(const struct cell_boot *boot)
{
	(void)boot;
	return run_init();
}

CELL_PROVIDE(cell_ops, task) = {.init = task_init};
